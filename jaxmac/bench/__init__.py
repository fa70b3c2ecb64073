"""Throughput of environments and training, as `jaxmac bench` measures it."""
