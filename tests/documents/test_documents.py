"""Code in README.md and docs/ runs: Python in a namespace per page, `jaxmac` lines in processes of their own."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms import configure
from jaxmac.config import traced_fields

ROOT = Path(__file__).parents[2]
# Pages whose code needs more than an empty folder have a test of their own.
ELSEWHERE = {"results", "export", "clusters", "macro_actions_on_your_environment", "extending"}
NEEDS = {"optuna": "optuna"}  # page -> the library without which it is skipped
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.stem not in ELSEWHERE]
LESS = {"train": ["--episodes", "48", "--seeds", "4"], "resume": ["--episodes", "64"]}
LESS["train"] += ["--num-envs", "8", "--eval-every", "16", "--eval-episodes", "4"]
LESS["train"] += ["--learning-starts", "16", "--batch-size", "4", "--replay-episodes", "64", "--hidden-size", "8"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def name(page):
    return str(page.relative_to(ROOT))


def runs_quickly(page):
    """`make test` runs the short ones, `make test-all` every page."""
    return page if page.stem == "warehouse" else pytest.param(page, marks=pytest.mark.slow)


@pytest.mark.parametrize("page", [runs_quickly(page) for page in PAGES if blocks(page, "python")], ids=name)
def test_python_runs(page, tmp_path, monkeypatch):
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jaxmac, "use_cpu_devices", lambda count: None)  # JAX runs already
    space = {"__name__": "documents"}
    with registered_only_here():
        for block in blocks(page, "python"):
            exec(compile(block, name(page), "exec"), space)


def test_the_search_compiles_once():
    """The settings that docs/optuna.md searches are traced, so that its trials share one program."""
    text = (ROOT / "docs" / "optuna.md").read_text()
    searched = re.findall(r"trial\.suggest_float\(\"(\w+)\"", text)
    config = configure("avf-vdn", "tuned", jaxmac.make("BoxPushing-4"), {})
    assert len(searched) == text.count("trial.suggest_float(") == 4 and set(searched) <= set(
        traced_fields(type(config))
    )


def commands(page):
    """The `jaxmac` lines of a page's shell blocks; test_worked_examples has those with `--plugin`."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"(\.venv/bin/)?jaxmac ", line) and "--plugin" not in line]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", [page for page in [ROOT / "README.md", *PAGES] if commands(page)], ids=name)
def test_commands_run(page, tmp_path):
    for line in commands(page):
        words = shlex.split(line, comments=True)[1:]
        command = [sys.executable, "-m", "jaxmac", *words, *LESS.get(words[0], [])]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{line}: {done.stderr[-500:]}"


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")]), ids=name
)
def test_no_row_of_a_table_stands_behind_another(page):
    assert not re.findall(r"^.*\| \|-.*$", page.read_text(), re.MULTILINE)


def test_the_page_of_settings_is_as_the_library_has_them():
    """`python docs/settings_page.py` writes it anew."""
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs" / "settings_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page()
    assert "`avf-vdn` has `gamma` 0.9 in `paper`" in module.page()  # it shares the section of `avf-qmix`
