"""The sweeps that presets `tuned` were chosen from, on tuning seeds, with some comparisons on fresh ones.

    python -m experiments.tuning                          # the sweeps that are missing
    python -m experiments.tuning iaicc_warehouse_d        # this one, anew
    python -m experiments.tuning --report                 # the table from what is stored

Results: experiments/results/tuning/NAME.json, for each combination of swept values the mean of the last ten
evaluations of each seed, and the table experiments/results/tuning/summary.md.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import jaxmac
from experiments.common import RESULTS, RUNS, completed
from experiments.sweeps import SWEEPS
from jaxmac.analysis import final_returns
from jaxmac.cli.scripts import ScriptParser

FOLDER = RESULTS / "tuning"
ABOUT = """Mean over the seeds named of the last ten evaluations (greedy; actor-critics sample), and the worst seed.
Seeds 1000 to 1031 are tuning seeds. Sections with the seeds 200 to 309 are comparisons on fresh seeds.
What is not named is as `tuned` had it when the sweep ran; the JSON files have all settings."""


def main() -> None:
    """Run the sweeps asked for and write the table."""
    parser = ScriptParser(__doc__)
    parser.add_argument("names", nargs="*", choices=SWEEPS, default=[], metavar="SWEEP", help="sweeps to run anew")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--devices", type=int, default=os.cpu_count() or 1, help="virtual CPU devices")
    given = parser.parse_args()
    jaxmac.use_cpu_devices(given.devices)
    missing = [name for name in SWEEPS if not path_of(name).exists()]
    for name in () if given.report else given.names or missing:
        store(name, trained(name))
    (FOLDER / "summary.md").write_text(table())


def path_of(name: str) -> Path:
    """The file of a sweep."""
    return FOLDER / f"{name}.json"


def trained(name: str) -> jaxmac.Result:
    """Train a sweep; raises KeyboardInterrupt if it is stopped from the keyboard."""
    one = SWEEPS[name]
    result = jaxmac.train(
        one.algorithm,
        one.env,
        seeds=list(one.seeds),
        episodes=one.episodes,
        sweep=one.sweep or None,
        out=RUNS / "tuning" / name,
        overwrite=True,
        checkpoint_replay=False,
        **one.settings,
    )
    return completed(result)


def store(name: str, result: jaxmac.Result) -> None:
    """Write what is kept of a sweep: settings, seeds, and the final return of each member."""
    seeds, finals = len(result.config["seeds"]), final_returns(result.metrics["eval_return"])
    rows = []
    for first in range(0, len(finals), seeds):
        swept = {key: value for key, value in result.members[first].items() if key != "seed"}
        rows.append({"swept": swept, "final": [round(float(x), 3) for x in finals[first : first + seeds]]})
    names = ("algorithm", "env", "seeds", "episodes", "preset", "settings", "backend")
    content = {key: result.config[key] for key in names} | {"jaxmac": jaxmac.__version__, "rows": rows}
    FOLDER.mkdir(parents=True, exist_ok=True)
    path_of(name).write_text(json.dumps(content, indent=1) + "\n")


def table() -> str:
    """All stored sweeps as a page."""
    lines = ["# Tuning", "", "Command: `python -m experiments.tuning`", ""]
    lines += [ABOUT, ""]
    for name in SWEEPS:
        if not path_of(name).exists():
            continue
        content = json.loads(path_of(name).read_text())
        about = f"{content['algorithm']} on {content['env']}, seeds {_runs_of(content['seeds'])}, "
        about += f"{content['episodes']:,} episodes; {_words(SWEEPS[name].settings) or 'preset tuned'}."
        lines += [f"## {name}", "", about, ""]
        lines += ["| swept | mean | worst | each seed |", "|---|---|---|---|"]
        for row in sorted(content["rows"], key=lambda row: -np.mean(row["final"])):
            final = np.array(row["final"])
            digits = 2 if abs(final).max() <= 1 else 1
            each = ", ".join(f"{x:.{digits}f}" for x in final)
            what = _words(row["swept"]) or "nothing"
            lines.append(f"| {what} | {final.mean():.{digits}f} | {final.min():.{digits}f} | {each} |")
        lines.append("")
    return "\n".join(lines)


def _runs_of(numbers: list[int]) -> str:
    """Increasing numbers in words: 1, 2, 3, 7, 8 -> 1 to 3 and 7 to 8."""
    starts = [i for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1] + 1]
    ends = [*(i - 1 for i in starts[1:]), len(numbers) - 1]
    return " and ".join(f"{numbers[a]} to {numbers[b]}" for a, b in zip(starts, ends, strict=True))


def _words(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


if __name__ == "__main__":
    main()
