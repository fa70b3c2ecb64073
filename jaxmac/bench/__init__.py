"""Throughput of environments (`environments`) and of training (`training`, `breakdown`): `jaxmac bench`.

`run` chooses what is measured and writes the report; `timing`, `machine` and `tables` are what it needs for that.
"""
