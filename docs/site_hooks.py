"""Hooks of `mkdocs build`. Pages keep their paths in the repository, so that a link works there and in the site."""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/**/*.md", "benchmarks/README.md", "experiments/*.md", "experiments/zoo/README.md")
PAGES += ("experiments/results/**/summary.md",)
NOTEBOOKS = ("experiments/notebooks/*.ipynb",)
PICTURES = ("docs/**/*.gif", "docs/**/*.png", "benchmarks/results/*.png", "experiments/results/**/*.png")
STYLE = ("docs/site.css",)
BRANCH = "main"
# What a cell prints and what it returns, a block each.
OUTPUTS = """{%- extends 'markdown/index.md.j2' -%}
{% block stream %}
```text
{{ output.text | trim }}
```
{% endblock stream %}
{% block data_text scoped %}
```text
{{ output.data['text/plain'] | trim }}
```
{% endblock data_text %}
"""
FENCED = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)$)", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"<code>(?=([^<\n]{1,28})</code>)")  # short enough to move to the next line as a whole
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^()\s#]+)(#[^()\s]*)?\)")


class Notebook(File):
    """A notebook as a page: its text and code, with the stored outputs."""

    def is_documentation_page(self) -> bool:
        """Whether it becomes a page: always."""
        return True


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The repository's address is the one of pyproject.toml; while that has none, pages do not link to code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    config.repo_url = project.get("urls", {}).get("Repository", "").rstrip("/")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, and those of the repository that take part in the site, by their paths in it."""
    found = [file for file in files if file.src_dir != config.docs_dir]
    for path in found_by(*PAGES, *PICTURES, *STYLE):
        found.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
    for path in found_by(*NOTEBOOKS):
        target = str(Path(path).with_suffix(".html"))
        found.append(Notebook(path, str(ROOT), config.site_dir, False, dest_uri=target))
        found += [File.generated(config, name, content=data) for name, data in converted(path)[1].items()]
    return Files(found)


def found_by(*patterns: str) -> list[str]:
    """The paths in the repository that the patterns match."""
    return sorted({path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)})


def converted(path: str) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and its pictures by their paths."""
    folder = Path(path).stem
    notebook = nbformat.read(ROOT / path, as_version=4)
    exporter = MarkdownExporter(raw_template=OUTPUTS)
    text, resources = exporter.from_notebook_node(notebook, {"output_files_dir": folder})
    beside = posixpath.dirname(path)
    return text, {f"{beside}/{name}": data for name, data in resources["outputs"].items()}


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """Notebooks become Markdown; all other pages are read as they are."""
    return converted(page.file.src_uri)[0] if isinstance(page.file, Notebook) else None


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to what is no page (code, folders, data) lead to the repository; without its address they are text."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # it would name this page alone

    def mended(link: re.Match[str]) -> str:
        text, target, fragment = link.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), target))
        if files.get_file_from_path(path) or not (ROOT / path).exists():
            return link[0]  # a page, or a mistake that the build reports
        if files.get_file_from_path(f"{path}/README.md"):
            return f"[{text}]({target.rstrip('/')}/README.md{fragment or ''})"
        return f"[{text}]({config.repo_url}/blob/{BRANCH}/{path}{fragment or ''})" if config.repo_url else text

    return "".join(part if FENCED.match(part) else LINK.sub(mended, part) for part in FENCED.split(markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Names, flags and other short pieces of code are not broken at their dashes (docs/site.css)."""
    return NAME.sub('<code class="whole">', html)
