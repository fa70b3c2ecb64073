"""How the time of an iteration grows: members, parallel episodes, batch, rows, horizon and agents, one at a time.

    python -m benchmarks.scaling                   # half an hour; --quick: two points of each, to see that it runs
    python -m benchmarks.scaling --axis agents     # one quantity; the others keep what is stored
    python -m benchmarks.scaling --draw            # figure and table from the stored measurements

Writes benchmarks/results/scaling-BACKEND.{json,png,md}, quick ones to files of their own. The exponent of a
quantity is the slope of log(seconds) over log(quantity), by least squares over its larger half, where fixed costs
matter less: 1 is proportional.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxmac
from jaxmac.analysis.style import grid, label_axes, number
from jaxmac.bench.machine import machine
from jaxmac.bench.timing import timed
from jaxmac.cli.scripts import ScriptParser
from jaxmac.runs.directory import versions
from jaxmac.runs.members import make_members
from jaxmac.training.cache import without_compilation_cache
from jaxmac.training.program import Program

RESULTS = Path(__file__).parent / "results"
# Learning starts with the first iteration, and the replay is as small as the batches allow.
BASE = {"num_envs": 16, "batch_size": 16, "learning_starts": 16, "replay_episodes": 1024, "sampling": "uniform"}
REPEATS = 25  # iterations that are timed
ROWS = {"trajectory_unit": "rows", "max_rows": 0}


class Axis(NamedTuple):
    """A quantity that is varied: its values, and which settings, options and members a value stands for."""

    name: str
    values: tuple[int, ...]
    env: str = "BoxPushing-10"  # with the value in the place of {}
    option: str = ""  # of the environment
    setting: str = ""  # of AVF-QMIX
    also: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """The word for it on the command line."""
        return self.setting or self.option or self.name


AXES = (
    Axis("members", (1, 2, 4, 8, 16, 32, 64)),
    Axis("parallel episodes (num_envs)", (16, 64, 256, 1024), setting="num_envs"),
    Axis("episodes in a batch (batch_size)", (8, 16, 32, 64, 128), setting="batch_size"),
    Axis("rows of a trajectory (trajectory)", (6, 12, 24, 48, 96), setting="trajectory", also=ROWS),
    Axis("horizon (whole episodes)", (50, 100, 200, 400), option="horizon"),
    Axis("agents", (2, 4, 6, 8, 10), "CaptureTarget-{}"),
)


def main(words: Sequence[str] | None = None) -> int:
    """Measure every axis, then write report, figure and table; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--quick", action="store_true", help="the two smallest values of each quantity")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    keys = [axis.key for axis in AXES]
    parser.add_argument("--axis", nargs="+", choices=keys, default=keys, help="what to measure (default: all)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to (default: %(default)s)")
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / f"scaling-{jax.default_backend()}{'-quick' if given.quick else ''}"
    if not given.draw:
        about = {"machine": machine(), "versions": versions(), "base": BASE}  # the load before measuring
        with without_compilation_cache():
            chosen = [axis for axis in AXES if axis.key in given.axis]
            found = [measured(axis, axis.values[: 2 if given.quick else None]) for axis in chosen]
        report = about | {"axes": with_stored(found, stem.with_suffix(".json"), about["machine"])}
        stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if not stem.with_suffix(".json").exists():
        print(f"{stem}.json is missing: measure first, without --draw", file=sys.stderr)
        return 2
    report = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    draw(report["axes"], stem.with_suffix(".png"))
    stem.with_suffix(".md").write_text(table(report), encoding="utf-8")
    return 0


def with_stored(found: Sequence[dict[str, Any]], path: Path, here: dict[str, Any]) -> list[dict[str, Any]]:
    """New measurements, with those of other quantities that the report at `path` has of the same machine."""
    by_name = {axis["name"]: axis for axis in found}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if all(before["machine"][name] == here[name] for name in ("cpu", "cores", "device")):
            by_name = {axis["name"]: axis for axis in before["axes"]} | by_name
    return [by_name[axis.name] for axis in AXES if axis.name in by_name]


def measured(axis: Axis, values: Sequence[int]) -> dict[str, Any]:
    """Seconds of an iteration (median), its updates, and bytes of a member, at every value of an axis."""
    rows = []
    for value in values:
        program = build(axis, value)
        seconds, updates = seconds_of_an_iteration(program)
        member = program.footprint()
        row = {"value": value, "seconds": seconds, "updates": updates}
        rows.append(row | {"bytes_per_member": member.total // program.padded})
        print(f"{axis.name} = {value}: {1e3 * seconds:.1f} ms, {updates} updates", flush=True)
    return {"name": axis.name, "env": axis.env.format("N"), "rows": rows, "exponent": exponent(rows)}


def build(axis: Axis, value: int) -> Program:
    """The program of tuned AVF-QMIX at a value of an axis, on one device."""
    options = {axis.option: value} if axis.option else {}
    env = jaxmac.make(axis.env.format(value), **options)
    settings = BASE | axis.also | ({axis.setting: value} if axis.setting else {})
    # As many updates in an iteration, whatever the number of steps that it collects.
    settings |= {"train_freq": settings["num_envs"] * env.horizon // 4, "learning_starts": settings["num_envs"]}
    settings |= {"replay_episodes": max(settings["replay_episodes"], settings["num_envs"])}
    members = value if axis.name == "members" else 1
    specs = make_members("avf-qmix", env, "tuned", settings, members, None)
    return Program("avf-qmix", env, specs, devices=jax.devices()[:1])


def seconds_of_an_iteration(program: Program, repeats: int = REPEATS) -> tuple[float, int]:
    """Median seconds of an iteration once learning has started, and the updates of each."""
    program.compile()
    done = program.first_learning_iteration + 1
    program.advance(0, done, done)

    def iteration() -> Any:
        nonlocal done
        program.advance(done, done + 1, 1)
        done += 1
        return program.members.tally

    return timed(iteration, repeats).median, program.algorithm.collection.updates


def exponent(rows: Sequence[dict[str, Any]]) -> float:
    """The slope of log(seconds) over log(value), over the larger half of the values."""
    larger = rows[len(rows) // 2 :] if len(rows) > 3 else rows
    if len(larger) < 2:
        return float("nan")
    values, seconds = (np.log([row[name] for row in larger]) for name in ("value", "seconds"))
    return round(float(np.polyfit(values, seconds, 1)[0]), 2) + 0.0


def draw(axes: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel for each quantity: milliseconds of an iteration, both axes logarithmic."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure, panels = grid(len(axes), 3.6)
    for panel, axis in zip(panels, axes, strict=True):
        values, seconds = ([row[name] for row in axis["rows"]] for name in ("value", "seconds"))
        title = f"{axis['name'].split(' (')[0]}: exponent {axis['exponent']:g}"
        label_axes(panel, title, axis["name"], "milliseconds of an iteration")
        panel.loglog(values, 1e3 * np.asarray(seconds), marker="o")
        panel.set_xticks(values, [str(value) for value in values])
        panel.set_xticks([], minor=True)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(lambda value, _: number(value))
        panel.yaxis.set_minor_locator(NullLocator())
    figure.savefig(path, dpi=110)


def table(report: dict[str, Any]) -> str:
    """The measurements as a page."""
    about, base = report["machine"], ", ".join(f"{name}={value}" for name, value in report["base"].items())
    lines = [
        "# Time of an iteration",
        "",
        "Command: `python -m benchmarks.scaling`. AVF-QMIX, preset `tuned` but for "
        f"{base} and four updates an iteration; one quantity varied at a time; one device, one member unless said "
        f"otherwise; medians of {REPEATS} iterations. Machine: {about['cpu']}, {about['cores']} cores; device: "
        f"{about['device']}. The exponent is that of the larger half of the values.",
        "",
        "| quantity | on | exponent | value: ms of an iteration | MB of a member |",
        "|---|---|---|---|---|",
    ]
    for axis in report["axes"]:
        times = ", ".join(f"{row['value']}: {number(1e3 * row['seconds'], 3)}" for row in axis["rows"])
        sizes = [number(row["bytes_per_member"] / 1e6, 3) for row in axis["rows"]]
        size = sizes[0] if len(set(sizes)) == 1 else f"{sizes[0]} to {sizes[-1]}"
        lines.append(f"| {axis['name']} | {axis['env']} | {axis['exponent']:g} | {times} | {size} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
