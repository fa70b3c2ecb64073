"""The site: every page of docs/ and every public name has its place, and it builds without a warning (slow)."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import jaxmac

ROOT = Path(__file__).parents[2]
REFERENCE = sorted((ROOT / "docs" / "api").glob("*.md"))


class Reader(yaml.SafeLoader):
    """Reads mkdocs.yml without the function that it names."""


Reader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def places(nav):
    """The pages of a nav, in its order."""
    for entry in nav:
        place = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from [place] if isinstance(place, str) else places(place)


def test_the_navigation_has_every_page_once():
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), Reader)
    named = list(places(config["nav"]))
    assert len(named) == len(set(named))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments" / "notebooks").glob("*.ipynb")}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} | pages | notebooks <= set(named)
    assert [place for place in named if not (ROOT / place).exists()] == []


def test_every_public_name_has_one_place_in_the_reference():
    named = [name for page in REFERENCE for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)]
    assert len(named) == len(set(named))
    missing = {f"jaxmac.{name}" for name in jaxmac.__all__} - set(named)
    assert missing == set()


@pytest.fixture
def hooks():
    """The module docs/site_hooks.py."""
    for library in ("mkdocs", "nbconvert"):
        pytest.importorskip(library)
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "with_address", "without"),
    [
        ("[a](../concepts.md#x)", "[a](../concepts.md#x)", "[a](../concepts.md#x)"),
        ("[a](../../envs)", "[a](https://host/name/blob/main/envs)", "a"),
        ("[`b`](../../jaxmac/mixers/qmix.py)", "[`b`](https://host/name/blob/main/jaxmac/mixers/qmix.py)", "`b`"),
        ("[a](../specifications)", "[a](../specifications/README.md)", "[a](../specifications/README.md)"),
        ("[a](../../setup.py#L3)", "[a](https://host/name/blob/main/setup.py#L3)", "a"),
        ("[a](missing.md)", "[a](missing.md)", "[a](missing.md)"),
        ("[a](https://elsewhere/x)", "[a](https://elsewhere/x)", "[a](https://elsewhere/x)"),
        ("```text\n[a](../../envs)\n```", "```text\n[a](../../envs)\n```", "```text\n[a](../../envs)\n```"),
    ],
)
def test_links_lead_to_pages_or_to_the_repository(text, with_address, without, hooks):
    pages = {"docs/concepts.md", "docs/specifications/README.md"}
    files = SimpleNamespace(get_file_from_path=lambda path: path if path in pages else None)
    page = SimpleNamespace(is_homepage=False, file=SimpleNamespace(src_uri="docs/environments/README.md"))
    for address, expected in (("https://host/name", with_address), ("", without)):
        config = SimpleNamespace(repo_url=address)
        assert hooks.on_page_markdown(text, page, config, files) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    for library in ("material", "mkdocstrings", "nbconvert"):
        pytest.importorskip(library)
    subprocess.run(["make", "layout"], cwd=ROOT, check=True, capture_output=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        assert not re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"?https?:|<link[^>]* rel=\"?stylesheet\"? href=\"?https?:",
            page.read_text(),
        )
    notebook = (tmp_path / "experiments" / "notebooks" / "quickstart.html").read_text()
    assert "Eight seeds at once" in notebook and "<img" in notebook
    reference = (tmp_path / "docs" / "api" / "training.html").read_text()
    assert 'id="jaxmac.train"' in reference and "swept values" in reference
