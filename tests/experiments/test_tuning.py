"""The sweeps of the presets: what is stored of one, and the page; nothing is trained here."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import tuning
from experiments.sweeps import SWEEPS


def test_the_page_is_made_from_what_is_stored():
    assert (tuning.FOLDER / "summary.md").read_text() == tuning.table()


def test_every_stored_file_is_a_sweep_that_can_be_trained_again():
    stored = {path.stem for path in tuning.FOLDER.glob("*.json")}
    assert stored <= set(SWEEPS) and stored
    for name in stored:
        content, one = json.loads(tuning.path_of(name).read_text()), SWEEPS[name]
        asked = one.algorithm, one.env, list(one.seeds), one.episodes
        assert asked == tuple(content[key] for key in ("algorithm", "env", "seeds", "episodes")), name
        assert {key for row in content["rows"] for key in row["swept"]} == set(one.sweep), name


def test_each_row_has_the_finals_of_its_own_members(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "FOLDER", tmp_path)
    members = [{"seed": seed, "learning_rate": rate} for rate in (0.1, 0.2) for seed in (1, 2)]
    returns = np.zeros((20, 4))
    returns[10:] = [1.0, 2.0, 3.0, 4.0]
    config = dict.fromkeys(("algorithm", "env", "preset", "settings", "backend"), "x") | {"seeds": [1, 2]}
    result = SimpleNamespace(config=config | {"episodes": 9}, metrics={"eval_return": returns}, members=members)
    name = next(iter(SWEEPS))
    tuning.store(name, result)
    rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    assert rows == [
        {"swept": {"learning_rate": 0.1}, "final": [1.0, 2.0]},
        {"swept": {"learning_rate": 0.2}, "final": [3.0, 4.0]},
    ]
    page = tuning.table()
    assert page.index("| learning_rate=0.2 | 3.5 | 3.0 | 3.0, 4.0 |") < page.index("| learning_rate=0.1 | 1.5 |")


def test_an_unknown_sweep_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tuning", "nonsense"])
    with pytest.raises(SystemExit):
        tuning.main()
    assert "nonsense" in capsys.readouterr().err
