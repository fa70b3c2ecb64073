"""The code of docs/macro_actions_on_your_environment.md runs, and prints what it says."""

import re
from pathlib import Path

import pytest

import jaxmac

pytest.importorskip("jaxmarl")  # before a test: when it is imported, it takes back what pytest captures

PAGE = Path(__file__).parents[2] / "docs" / "macro_actions_on_your_environment.md"
SMALL = {"seeds": 1, "episodes": 16, "num_envs": 8, "batch_size": 8, "learning_starts": 8, "sampling": "uniform"}
SMALL |= {"hidden_size": 4, "replay_episodes": 16, "eval_every": 16, "eval_episodes": 4, "train_freq": 200}


class Nothing:
    """In place of training."""


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_page_s_code_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys, trains):
    monkeypatch.chdir(tmp_path)
    train, asked = jaxmac.train, []

    def instead(*given, **rest):
        asked.append(given)
        return train(*given, **rest | SMALL, progress=False) if trains else Nothing()

    monkeypatch.setattr(jaxmac, "train", instead)
    if not trains:
        monkeypatch.setattr(jaxmac, "load", lambda path, env: Nothing())
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    capsys.readouterr()
    exec(compile(code, PAGE.name, "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    promised = re.search(r"# (agent 0, option .*), \.\.\.", code)[1]
    assert promised in printed and "[1 0 0 0 0 0 0 0] 1" in printed
    assert [name for name, _ in asked] == ["avf-qmix"] * 2
    assert (tmp_path / "runs" / "spread" / "metrics.csv").exists() == trains
