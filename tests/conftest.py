import gc
import json
import os
import signal
from pathlib import Path

import jaxtyping
import numpy as np
import psutil
import pytest
from support import compilation_cache, typechecking

# Most of a test's time is compiling small programs: a quarter of it without LLVM's optimisation.
COMPILING = ("--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1")
# XLA's older emitters of loops take a third of the rest, but never end with some larger programs of the slow tests.
QUICK_COMPILING = (*COMPILING, "--xla_cpu_use_fusion_emitters=false")
CACHE = compilation_cache.use()

# With JAX's many small objects the default collects garbage so often that it costs 40 % of the time.
gc.set_threshold(200_000, 50, 100)

# A shell that starts the suite in the background, or nohup, lets it ignore signals, and so would every process that
# it starts; tests interrupt runs.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Before jaxmac is imported; JAXTYPING_DISABLE=1 turns the checks off.
jaxtyping.jaxtyped = typechecking.sparing(jaxtyping.jaxtyped)
jaxtyping.install_import_hook("jaxmac", f"{typechecking.__name__}.checked")

GOLDEN = Path(__file__).parent / "golden"
# Bytes a process of the suite may hold before it drops its compiled programs, of which later files could use many;
# it hardly gets there when two share the files.
MOST_MEMORY = 3 * 2**30


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Keep compiled programs from one file to the next, but not without limit: two processes share the machine."""
    yield
    if psutil.Process().memory_info().rss > MOST_MEMORY:
        import jax

        jax.clear_caches()


@pytest.fixture(scope="session")
def golden():
    """Reader of recordings: name -> (dict of arrays, meta)."""

    def read(name):
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key != "meta"}
            return arrays, json.loads(file["meta"].item())

    return read


def pytest_configure(config):
    quick = config.option.markexpr == "not slow"
    os.environ.setdefault("XLA_FLAGS", " ".join(QUICK_COMPILING if quick else COMPILING))  # before JAX starts
    if not hasattr(config, "workerinput"):  # not in the processes that pytest-xdist starts
        compilation_cache.prune(CACHE)


def pytest_warning_recorded(warning_message):
    compilation_cache.forget_damaged(CACHE, str(warning_message.message))
