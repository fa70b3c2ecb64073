"""The pages of docs/specifications exist, and so does every section that code or another page cites."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "specifications").glob("*.md"))
MARKDOWN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKDOWN += [ROOT / "experiments" / "README.md", ROOT / "benchmarks" / "README.md"]
CODE = [path for room in ("envs", "jaxmac", "tests", "experiments") for path in sorted((ROOT / room).rglob("*.py"))]
CITATION = re.compile(
    r"docs/specifications/(\w+)\.md(?:,\s+(?:#\s+)?sections?\s+([\d.]*\d)(?:\s+(?:to|and)\s+([\d.]*\d))?)?"
)
ALONE = re.compile(
    r"(?<!\d{4}, )\bsections? (\d[\d.]*\b)(?: (?:to|and) (\d[\d.]*\b))?"
)  # not a paper's: "2017, section 3"
PAGE_TO_PAGE = re.compile(r"\[(\w+)\.md\]\(\1\.md\),\s+section\s+(\d[\d.]*\b)(?:,\s+(?:rule|issue)\s+(\d+))?")
LINK = re.compile(r"\]\((?!https?:)([^()\s#]*)(#[^()\s]*)?\)")


def prose(page):
    """The text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def headings(page):
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


def anchor(heading):
    """The fragment that GitHub gives a heading."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def has_section(page, number):
    """A heading with that number, or for "9.1" entry 1 (of a table or list) in section 9."""
    if any(re.match(rf"{re.escape(number)}\.? ", heading) for heading in headings(page)):
        return True
    section, _, entry = number.partition(".")
    text = re.search(rf"^## {section}\. .*?(?=^## |\Z)", prose(page), re.DOTALL | re.MULTILINE)
    return bool(entry and text and re.search(rf"^(\| {entry} \||{entry}\. )", text[0], re.MULTILINE))


def name(path):
    return str(path.relative_to(ROOT))


def test_sections_are_found():
    page = ROOT / "docs" / "specifications" / "tomacvf.md"
    assert has_section(page, "9") and has_section(page, "9.28")
    assert not has_section(page, "9.29") and not has_section(page, "11")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sections_are_numbered_in_order(page):
    numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", prose(page), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_cited_sections_exist():
    cited = [(path, *match) for path in CODE for match in CITATION.findall(path.read_text())]
    assert len({path for path, *_ in cited}) > 10
    for path, page, *numbers in cited:
        file = ROOT / "docs" / "specifications" / f"{page}.md"
        assert file in PAGES, f"{name(path)} cites {page}.md, which does not exist"
        for number in filter(None, numbers):
            assert has_section(file, number), (
                f"{name(path)} cites section {number} of {page}.md, which does not exist"
            )


def test_sections_cited_without_a_page_exist():
    """ "(section 4)" in a module that names one page is a section of that page."""
    checked = 0
    for path in CODE:
        text = re.sub(r"\s+(?:# )?", " ", path.read_text())
        pages = {page for page, *_ in CITATION.findall(text)}
        if len(pages) != 1:
            continue
        (page,) = pages
        for numbers in ALONE.findall(text):
            for number in filter(None, numbers):
                checked += 1
                file = ROOT / "docs" / "specifications" / f"{page}.md"
                assert has_section(file, number), f"{name(path)} cites section {number}, which {page}.md lacks"
    assert checked > 50


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sections_that_pages_cite_of_each_other_exist(page):
    for other, section, entry in PAGE_TO_PAGE.findall(prose(page)):
        number = f"{section}.{entry}" if entry else section
        assert has_section(page.with_name(f"{other}.md"), number), f"section {number} of {other}.md does not exist"


@pytest.mark.parametrize("page", MARKDOWN, ids=name)
def test_links_lead_somewhere(page):
    for file, fragment in LINK.findall(prose(page)):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{file} does not exist"
        if fragment and target.suffix == ".md":
            assert fragment in map(anchor, headings(target)), f"{file}{fragment} does not exist"
