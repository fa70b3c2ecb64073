"""jaxmac: asynchronous multi-agent reinforcement learning with macro-actions, in JAX."""

from importlib.metadata import version

import lazy_loader

# A name is loaded when it is first used, from where __init__.pyi says: `jaxmac --help` need not wait for JAX.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = version("jaxmac")
