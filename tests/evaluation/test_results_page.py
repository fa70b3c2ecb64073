"""Every block of docs/results.md runs, on two tiny runs with the names that the page uses."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.made_runs import fresh_learners, made
from support.runs import TINY

from jaxmac.cli.main import main
from jaxmac.runs.checkpoint import save_checkpoint

TEXT = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
BLOCKS = re.findall(r"^```(python|sh)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for algorithm in ("avf-qmix", "avf-qplex"):
        out = folder / "runs" / algorithm[4:]
        run = made(out, algorithm, "BoxPushing-6", env_options={"horizon": 12}, seeds=2, **TINY)
        learners = fresh_learners(run)
        save_checkpoint(out, 0, 1, {"learners": learners[0], "best": learners[0, "best"]})
    return folder


@pytest.mark.slow
def test_every_block_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    asked = []

    def train(algorithm, env, **options):  # the page's own runs would take minutes
        asked.append((algorithm, env, options["log"], options["episodes"]))
        return SimpleNamespace(status="finished")

    monkeypatch.setattr("jaxmac.cli.train.train", train)
    monkeypatch.setattr("jaxmac.cli.train.report_result", lambda result, out: None)
    names = {}
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, "docs/results.md", "exec"), names)
        else:
            for line in code.splitlines():
                assert main(shlex.split(line, comments=True)[1:]) == 0, (line, capsys.readouterr().err)
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"} and len(BLOCKS) >= 9
    assert asked[:2] == [(f"avf-{kind}", "BoxPushing-6", "", 5000) for kind in ("qmix", "qplex")]
    assert asked[2][2] == "tensorboard"
    left = ("qmix.svg", "qmix.gif", "curves.png", "comparison.html", "results.json")
    assert all((folder / name).stat().st_size > 1000 for name in left)
