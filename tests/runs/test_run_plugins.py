"""What a run keeps of the modules that its parts come from."""

import io
import warnings
import zipfile

import pytest
from conftest import GOLDEN
from rich.console import Console
from support.registries import registered_only_here

import jaxmac
from jaxmac.registry import load_plugins
from jaxmac.runs.directory import RunDirectoryError, versions
from jaxmac.runs.plugins import refuse_missing_plugins, versions_of
from jaxmac.training.resume import _note_other_versions

CONFIG = {"plugins": ["__main__"], "log": [], "env": "BoxPushing-4", "env_rebuildable": True}
CONFIG |= {"algorithm": "avf-vdn", "sweep": {}, "settings": {"memory": "gru", "sampling": "uniform"}}


@pytest.mark.parametrize(
    "missing",
    [
        {"algorithm": "avf-mine"},
        {"env": "Corridor-7"},
        {"settings": {"memory": "mine"}},
        {"sweep": {"sampling": ["uniform", "mine"]}},
    ],
)
def test_parts_of_a_script_that_are_not_there_are_named_as_such(missing):
    refuse_missing_plugins("runs/x", CONFIG)  # in the script itself they are there
    with pytest.raises(RunDirectoryError, match=r"^runs/x needs parts that a script or notebook registered"):
        refuse_missing_plugins("runs/x", CONFIG | missing)
    with pytest.raises(RunDirectoryError, match=r"^runs/x needs parts of no_parts: add --plugin no_parts"):
        refuse_missing_plugins("runs/x", CONFIG | missing | {"plugins": ["__main__", "no_parts"]})


def test_a_run_is_read_without_the_sink_of_a_script_that_it_wrote_to():
    refuse_missing_plugins("runs/x", CONFIG | {"log": ["mine"]})


def stored_run(folder):
    """The path of a run with checkpoints."""
    with zipfile.ZipFile(GOLDEN / "run_format_1.zip") as archive:
        archive.extractall(folder / "run")
    return folder / "run"


def test_a_plugin_that_has_changed_is_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def notes(config):
        text = io.StringIO()
        _note_other_versions(Console(file=text, width=200), config)
        return text.getvalue()

    with registered_only_here():
        (tmp_path / "changing_parts.py").write_text("reward = 5.0\n")
        load_plugins(["changing_parts"])
        found = versions_of(["changing_parts"])
        assert list(found) == ["plugin changing_parts"]
        config = {"plugins": ["changing_parts"], "versions": versions() | found}
        assert notes(config) == ""
        (tmp_path / "changing_parts.py").write_text("reward = 50.0\n")
        assert notes(config).startswith("note: plugin changing_parts is ")
        assert notes(config | {"versions": versions()}) == ""  # of a run that did not keep it
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for kept in (config, {"versions": versions()}):
                run = jaxmac.load(stored_run(tmp_path))
                run.config.update(config | kept)
                run.learned(0)
        (note,) = (str(one.message) for one in caught if "changing_parts" in str(one.message))
        assert note.endswith(
            "run: the file of plugin changing_parts has changed since the run began: "
            "its policies may act differently"
        )
