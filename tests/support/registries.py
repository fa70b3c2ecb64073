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
    """What is registered inside, and the modules that are imported, are forgotten afterwards."""
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
            del sys.modules[name]
        sys.path[:] = path
