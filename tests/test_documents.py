"""Code in README.md and docs/ runs: Python in a namespace per page, `jaxmac` lines by our own main."""

import re
import shlex
from pathlib import Path

import pytest

import jaxmac
from jaxmac.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# Pages whose code needs more than an empty folder have a test of their own.
ELSEWHERE = {"results"}
TINY = ["--episodes", "48", "--seeds", "2", "--num-envs", "8", "--eval-every", "16", "--eval-episodes", "4"]
TINY += ["--learning-starts", "16", "--batch-size", "4", "--replay-episodes", "64", "--hidden-size", "8"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_runs(page, tmp_path, monkeypatch):
    if page.stem in ELSEWHERE:
        pytest.skip("has a test of its own")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jaxmac, "use_cpu_devices", lambda count: None)  # JAX runs already
    monkeypatch.setattr("envs.registry._TABLE", dict(__import__("envs").registry._TABLE))
    space = {"__name__": "documents"}
    for block in blocks(page, "python"):
        exec(compile(block, name(page), "exec"), space)


def commands(page):
    """The `jaxmac` lines of a page's shell blocks."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"(\.venv/bin/)?jaxmac ", line)]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", [page for page in [ROOT / "README.md", *PAGES] if commands(page)], ids=name)
def test_commands_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        assert main(words + (TINY if words[0] == "train" else [])) == 0, line
