"""The frame of the page that compares runs: its style, the script that sorts tables, and what its words mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from string import Template

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
$mark
<title>$title</title>
<style>
:root { color-scheme: light dark;
  --ink: #1a1a1a; --paper: #ffffff; --line: #c8c8c8; --grid: #e2e2e2; --soft: #f3f4f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #17191c; --line: #4a4e54; --grid: #33373c; --soft: #22252a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.4rem; }
a { color: inherit; }
figure { margin: 1rem 0; min-width: 0; } figcaption { font-size: 0.9rem; }
figure svg { width: 100%; height: auto; } figure img { max-width: 100%; height: auto; }
svg text { fill: currentColor; }
.row { display: flex; flex-wrap: wrap; gap: 0 1.5rem; } .row figure { flex: 1 1 24rem; max-width: 38rem; }
.table { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.6rem; text-align: left; vertical-align: top; }
thead th { background: var(--soft); vertical-align: bottom; } tbody th { font-weight: normal; }
td, th { white-space: nowrap; } td.words { white-space: normal; min-width: 8rem; max-width: 24rem; }
thead button { all: unset; cursor: pointer; }
thead button:focus-visible { outline: 2px solid; outline-offset: 2px; }
thead button::after { content: " \\2195"; opacity: 0.45; }
th[aria-sort="ascending"] button::after { content: " \\2191"; opacity: 1; }
th[aria-sort="descending"] button::after { content: " \\2193"; opacity: 1; }
dt { font-weight: bold; margin-top: 0.7rem; } dd { margin: 0 0 0 1.2rem; max-width: 46rem; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
<script>$script</script>
</body>
</html>
""")

# Without the script the page is complete, with its tables in the order of the runs.
SORT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows], text = row => row.cells[column].textContent.trim();
      const number = row => parseFloat(text(row).replace(/,/g, ""));
      const missing = row => text(row) === "-" || text(row) === "";
      const numeric = rows.every(row => missing(row) || !isNaN(number(row)));
      const before = head.getAttribute("aria-sort");
      const rises = before ? before === "descending" : !numeric;  // the largest number or the letter A first
      const compare = (a, b) => numeric ? number(a) - number(b) : text(a).localeCompare(text(b));
      rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : rises ? compare(a, b) : compare(b, a)));
      table.tBodies[0].append(...rows);
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rises ? "ascending" : "descending");
    });
  });
}
"""

WORDS = (
    (
        "Member",
        "One learner of a run, trained from its own seed. Members with the same settings form a line of a "
        "figure and a row of a table; they differ in their seed only, so their number is the number of seeds.",
    ),
    (
        "Return, evaluation",
        "A return is the sum of the team's rewards over an episode, not discounted. An evaluation is the mean "
        "return of a few episodes that are not learned from.",
    ),
    (
        "Final return",
        "The mean of a member's last $window evaluations.",
    ),
    (
        "Mean, interquartile mean, median",
        "Over the final returns of the members. The interquartile mean leaves out the lowest and the highest "
        "quarter of them, and with them the members that failed or were lucky.",
    ),
    (
        "Brackets and bands",
        "The 95 % interval of the number before it: what it might have been with other seeds. It is a "
        "percentile bootstrap, for which members are drawn anew, with repetition, within each environment. "
        "Of fewer than three members there is none.",
    ),
    (
        "Optimum, best known",
        "The optimum is the highest mean return that is possible, where it is proven. The best known return "
        "is that of the best plan known, or the optimum.",
    ),
    (
        "Random play",
        "The mean return of agents that draw from their available macro-actions. It is measured for the "
        "environments of the library with their default options, and not shown for others.",
    ),
    (
        "Gap",
        "How far members fall short of the best known return, on average, as a share of it. 0 % means that "
        "all have reached it; 100 % that they earn nothing; 120 % that they earn less than nothing, minus a "
        "fifth of the best known return.",
    ),
    (
        "Solved",
        "The number of members with a final return of at least $solved of the best known one.",
    ),
    (
        "Probability of beating",
        "The probability that a member of the row has a higher final return than a member of the column; a "
        "tie counts half. An interval with 0.5 in it shows no difference.",
    ),
    (
        "Performance profile",
        "For every return, the share of seeds whose final return is higher. A line further to the right is "
        "better; seeds that are missing at the left end have a return below it.",
    ),
    (
        "Learning starts",
        "The number of training episodes after which the first update is made; until then evaluations are those "
        "of an untrained policy.",
    ),
    (
        "Share of the best known return",
        "Where tasks are put together, every return is divided by the best known one of its task.",
    ),
    (
        "A dash",
        "Does not apply: no best known return, or one that is not positive; an evaluation that was not a "
        "number; a setting that the run does not have.",
    ),
)


def percent(share: float, digits: int | None = None) -> str:
    """A share in percent, with so many digits after the point (None: those that it has)."""
    number = f"{100 * share:.6g}" if digits is None else f"{100 * share:.{digits}f}"
    return f"{number}\N{NO-BREAK SPACE}%"


def glossary(window: int, solved: float) -> str:
    """What the words of the page mean, as HTML with the id `words`."""
    values = {"window": window, "solved": percent(solved)}
    items = (f"<dt>{escape(k)}</dt><dd>{escape(Template(text).substitute(values))}</dd>" for k, text in WORDS)
    return f'<h2 id="words">What the words mean</h2>\n<dl>{"".join(items)}</dl>'


def table(caption: str, head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table that scrolls inside its own box. The first cell of each row is the heading of the row."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(map(_cell, rest))}</tr>\n' for first, *rest in rows
    )
    label = escape(caption)
    return (
        f'<h3>{label}</h3>\n<div class="table" role="region" aria-label="{label}" tabindex="0"><table>\n'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    kind = ' class="words"' if len(text) > 40 else ""  # long enough to be broken into lines
    return f"<td{kind}>{escape(text)}</td>"
