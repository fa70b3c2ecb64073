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
    """What is registered inside, and the modules that are imported, are forgotten afterwards.

    The library's own modules stay: a copy of one that others hold already would escape their patches.
    """
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
            if name.partition(".")[0] != "jaxmac":
                del sys.modules[name]
        sys.path[:] = path
