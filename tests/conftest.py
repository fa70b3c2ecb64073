import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden():
    """Reader of recordings: name -> (dict of arrays, meta)."""

    def read(name):
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key != "meta"}
            return arrays, json.loads(str(file["meta"]))

    return read
