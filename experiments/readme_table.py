"""The README's table of results, from the summaries that `experiments.tasks` stores.

    python -m experiments.readme_table

A test holds the README to it.
"""

from __future__ import annotations

import json
from pathlib import Path

from experiments.common import RESULTS, slug
from experiments.tasks import FOUR, TASKS, best_known

README = Path(__file__).parents[1] / "README.md"
HEAD = f"| task | best known | {' | '.join(FOUR)} | episodes |"


def table() -> str:
    """A row for each task with results: mean return of each algorithm and, in brackets, the seeds that solve it."""
    lines = [HEAD, "|" + "---|" * (len(FOUR) + 3)]
    for env_id in TASKS:
        path = RESULTS / "tasks" / slug(env_id) / "summary.json"
        if path.exists():
            lines.append(_row(env_id, json.loads(path.read_text())))
    return "\n".join(lines) + "\n"


def _row(env_id: str, content: dict) -> str:
    rows = {row["label"]: row for row in content["rows"]}
    options = "".join(f", `{option}={value}`" for option, value in TASKS[env_id].options.items())
    cells = [env_id + options, _number(best_known(env_id, content["anchors"].get("scripted play")))]
    cells += [f"{_number(rows[x]['mean'])} ({rows[x]['solved']})" if x in rows else "" for x in FOUR]
    cells.append(f"{content['rows'][0]['episodes']:,}")
    return f"| {' | '.join(cells)} |".replace("|  ", "| ")


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1 else f"{value:,.1f}"


def main() -> None:
    """Put the table into the README, in place of the one that is there."""
    before, found, rest = README.read_text(encoding="utf-8").partition(HEAD)
    if not found:
        raise SystemExit(f"{README.name} has no table that begins with {HEAD}")
    README.write_text(before + table() + "\n" + rest.partition("\n\n")[2], encoding="utf-8")


if __name__ == "__main__":
    main()
