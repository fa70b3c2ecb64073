import contextlib
import sys

from jaxmac.algorithms import ALGORITHMS
from jaxmac.envs import registry as environments
from jaxmac.mixers import MIXERS
from jaxmac.networks import MEMORIES
from jaxmac.record import SAMPLERS
from jaxmac.runs.sinks import SINKS

REGISTRIES = (ALGORITHMS, MIXERS, MEMORIES, SAMPLERS, SINKS)


@contextlib.contextmanager
def registered_only_here():
    """What is registered inside, and the modules that a test has written and imported, are forgotten afterwards."""
    tables = [environments._TABLE]
    tables += [table for found in REGISTRIES for table in (found._parts, found._origins)]
    before, modules, path = [dict(table) for table in tables], set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        for table, saved in zip(tables, before, strict=True):
            table.clear()
            table.update(saved)
        for name in set(sys.modules) - modules:
            if not _installed(name):
                del sys.modules[name]
        sys.path[:] = path


def _installed(name):
    """Whether a module is the library's, an installed package's or Python's: a second copy would escape patches."""
    module = sys.modules[name]
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]  # a namespace has no file
    return any("site-packages" in (place or "") for place in places) or name.partition(".")[0] in {
        "jaxmac",
        *sys.stdlib_module_names,
    }
