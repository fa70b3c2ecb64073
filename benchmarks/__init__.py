"""Throughput of environments and of training: `jaxmac bench`."""
