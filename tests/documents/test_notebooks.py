"""The stored notebooks show what they promise, and run from the first cell to the last (slow)."""

import json
import re

import pytest

from experiments.notebooks.execute import FOLDER, LARGEST, executed, names

every_notebook = pytest.mark.parametrize("name", names())


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebooks_are_there():
    small = {"quickstart", "sweep_and_compare", "look_inside"}
    assert small | {"your_own_environment", "macro_actions_on_any_env"} <= set(names())


@every_notebook
def test_begins_with_its_minutes_and_how_to_install(name):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text())
    assert re.search(r"minutes? on two\s+idle cores", "".join(notebook["cells"][0]["source"]))
    first = "".join(code_cells(notebook)[0]["source"])
    assert first.startswith("# Colab") and '%pip install "jaxmac' in first


@every_notebook
def test_stored_with_outputs_and_nothing_of_the_machine(name):
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert len(text) <= LARGEST
    notebook = json.loads(text)
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))  # from top to bottom, once
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "image/png" in kinds, "no figure"
    for output in outputs:
        assert output["output_type"] != "error" and output.get("name") != "stderr", output
    words = json.dumps([cell["source"] for cell in notebook["cells"]])
    words += json.dumps([{k: v for k, v in o.items() if k != "data"} for o in outputs])
    words += json.dumps([o["data"]["text/plain"] for o in outputs if "text/plain" in o.get("data", {})])
    assert not re.findall(r"(?<![\w.])/(?:tmp|home|root|work|usr|opt|Users|var)/", words)
    assert "site-packages" not in words


@pytest.mark.slow
@pytest.mark.timeout(900)
@every_notebook
def test_runs_from_the_first_cell_to_the_last(name, monkeypatch):
    pytest.importorskip("ipykernel")
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # as users run it: it trains more than it compiles
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # a kernel that sees it does not catch what is written to its files
    cells = code_cells(executed(name))
    stored = code_cells(json.loads((FOLDER / f"{name}.ipynb").read_text()))
    assert [kinds(cell) for cell in cells] == [kinds(cell) for cell in stored]


def kinds(cell):
    """What a cell shows; a busy machine's warnings (stderr) do not count."""
    return [output["output_type"] for output in cell["outputs"] if output.get("name") != "stderr"]
