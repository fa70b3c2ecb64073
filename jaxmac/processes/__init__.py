"""Several processes that train one run: `joining` connects them, `collective` holds what they do together.

The number of JAX devices that the CPU of a process is split into is set here, too (`use_cpu_devices`).
"""

from jaxmac.processes.joining import initialize_distributed, use_cpu_devices

__all__ = ["initialize_distributed", "use_cpu_devices"]
