import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

# Most of a test's time is compiling small programs: half of it without LLVM's optimisation. Before JAX starts.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Many tests compile the same programs: compiled once, they are shared between tests, processes and commands.
OWN_CACHE = None if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp(prefix="jaxmac-tests-")
if OWN_CACHE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = OWN_CACHE
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden():
    """Reader of recordings: name -> (dict of arrays, meta)."""

    def read(name):
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key != "meta"}
            return arrays, json.loads(file["meta"].item())

    return read


def pytest_unconfigure():
    if OWN_CACHE:
        shutil.rmtree(OWN_CACHE, ignore_errors=True)
