"""The page, the figures and the statistics of the benchmark, from the cells that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

import jaxmac
from experiments import benchmark_cells
from experiments.benchmark_cells import Results, read
from experiments.common import RESULTS, mean_in_words
from experiments.tasks import TASKS, task_name
from jaxmac.algorithms.registry import configure
from jaxmac.analysis import Panel, interval, learning_curves, profile_figure, statistics
from jaxmac.config import choosing_fields
from jaxmac.envs import Environment

PAGE = RESULTS.parents[1] / "docs" / "benchmark.md"
OVER = "avf-qmix"  # the probability of improvement is over this one
# Order of the lines' colours: the seven first are solid, so that no two of similar curves look alike.
LINES = ("avf-qmix", "tomacvf-qmix", "avf-vdn", "mac-dec-q", "mac-cen-q", "avf-qplex", "mac-iaicc")
FIRST_SEED = 300
SCRIPTED = "scripted play"
# First seeds of the cells for which 300 to 309 had a part in choosing `actor_gain` (see experiments.tuning).
OTHER_SEEDS = {("CaptureTarget-10", "mac-ippo"): 310, ("CaptureTarget-10", "mac-mappo"): 310}

HEAD = """# Benchmark

Nine algorithms and thirteen tasks with preset `tuned`, as far as they have been run: the end of the page lists
what is missing. All have the same number of episodes on a task (rounded up to whole iterations) and ten seeds
that no sweep was tuned on: 300 to 309 (for PPO on CaptureTarget-10 it will be 310 to 319, as the others had a
part in choosing `actor_gain`). Failures of fresh seeds, some of these ten among them, did lead to sweeps over Box
Pushing and Overcooked-B and C, whose values were chosen on tuning seeds; seeds without any such part are 400 to
415 ([experiments](../experiments/README.md#what-they-show)). In the warehouses MacDec-Q and MacCen-Q, and ToMacVF
on S, D and D1, have three times AVF's learning rate, which their sweeps chose (`experiments.tuning`); ToMacVF's
results on T and T1 are with AVF's. A seed's result is the mean of its last ten evaluations, in which value-based
algorithms act greedily and actor-critics (mac-iaicc, mac-ippo, mac-mappo) sample from their policies, as in the
reference programs; what their last policies earn in greedy play stands below a table where it was measured. On
Box Pushing and Capture Target the critics of mac-iaicc see the state (MacIAISC), elsewhere joint observations.
Intervals are 95 % bootstrap intervals over seeds. "Solved" is the number of seeds at the return named under the
task's heading. Returns are undiscounted; the column "discounted" has the mean of the discounted ones, from the
first timestep, which the papers' figures show (gamma is the algorithm's own). Minutes are those of all seeds
together, without compiling; where they are of more seeds, which one program trained, it says so. They are rough:
runs on a CPU had one or two cores beside other work, and those on a GPU shared it with up to fifteen others;
whole runs are timed in [benchmarks](../benchmarks/README.md#whole-runs).

    python -m experiments.benchmark             # trains the cells that are missing, then writes this page
    python -m experiments.benchmark --report    # writes this page from the stored cells

Curves and settings of each cell: [experiments/results/benchmark](../experiments/results/benchmark). A point of a
curve is one evaluation, or the mean of neighbouring ones where there were more than 100; a curve begins where its
algorithm starts to learn. Where `tuned` has changed since a cell was trained, a line under the table says so.
"""

ACROSS = """## Across tasks

Returns are normalised: 0 is random play, 1 the best return known. Interquartile mean, optimality gap, performance
profiles and the probability of improvement are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of
the Statistical Precipice" (2021), with 95 % intervals by a bootstrap stratified by task. They are over the tasks
for which every algorithm of the table has a result: {tasks}. {absent}
"""


def write(environments: Sequence[str], algorithms: Sequence[str]) -> None:
    """Write the page and its figures."""
    found = read(environments, algorithms)
    if not found.cells:
        return
    panels = [_panel(found, env) for env in found.cells]
    lines = list(dict.fromkeys([*LINES, *(label for panel in panels for label in panel.curves)]))
    figure = learning_curves(panels, window=1, labels=lines, compact=True)
    figure.savefig(benchmark_cells.FOLDER / "curves.png", dpi=110)
    _draw_profiles(found, lines)
    PAGE.write_text(page(found))


def page(found: Results) -> str:
    """The page, from what is stored."""
    text = [HEAD, "![Learning curves](../experiments/results/benchmark/curves.png)\n", *_across(found)]
    text += [_task(found, env) for env in found.cells]
    if found.failed:
        text.append("## Without a result\n\n" + "".join(f"- {line}\n" for line in found.failed))
    if found.missing:
        text.append("## Not run yet\n\n" + "".join(f"- {line}\n" for line in found.missing))
    return "\n".join(text)


def _panel(found: Results, env: str) -> Panel:
    curves = {algorithm: cell["curve"] for algorithm, cell in found.cells[env].items()}
    best, levels = found.anchors[env]["best"], {"random play": found.anchors[env]["random"]}
    word = _word_for_the_best(env)
    if word == SCRIPTED:
        return Panel(env, curves, anchors=levels | {word: best})
    return Panel(env, curves, best if word == "optimum" else None, best, levels)


def _word_for_the_best(env_id: str) -> str:
    """What the return is that others are compared with; learners may exceed that of scripted play."""
    env = jaxmac.make(env_id, **TASKS[env_id].options)
    if env.optimal_return is not None:
        return "optimum"
    return SCRIPTED if env.best_known_return is None else "best known"


def _task(found: Results, env: str) -> str:
    """Heading and table of a task."""
    threshold, best = TASKS[env].threshold, found.anchors[env]
    digits = 2 if abs(best["best"]) <= 1 else 1
    episodes = TASKS[env].episodes
    label = SCRIPTED if _word_for_the_best(env) == SCRIPTED else "best known"
    lines = [
        f"## {task_name(env)}",
        "",
        f"{episodes:,.0f} episodes; solved from {threshold:g}; {label} {best['best']:.{digits}f}, random play "
        f"{best['random']:.{digits}f}.",
        "",
        "| algorithm | mean [interval] | solved | median | worst seed | discounted | minutes | on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = sorted(found.cells[env].items(), key=lambda item: -np.mean(item[1]["final"]))
    for algorithm, cell in rows:
        final = np.array(cell["final"])
        row = dict(zip(("mean", "low", "high"), map(float, interval(final)), strict=True))
        lines.append(
            f"| {algorithm} | {mean_in_words(row, digits)} | {(final >= threshold).sum()} of {len(final)} "
            f"| {np.median(final):.{digits}f} | {final.min():.{digits}f} "
            f"| {np.mean(cell['final_discounted']):.{digits}f} "
            f"| {cell['minutes']:.1f}{_timing(cell)} | {cell['backend']} |"
        )
    return "\n".join(lines + _greedy(found.cells[env], digits) + _earlier(env, found.cells[env])) + "\n"


def _timing(cell: Mapping[str, Any]) -> str:
    """What the minutes of a cell are of, in brackets, where that is more than its own seeds."""
    return f" ({cell['timing']})" if "timing" in cell else ""


def _greedy(cells: Mapping[str, dict[str, Any]], digits: int) -> list[str]:
    """A sentence about greedy play of the actor-critics; nothing without any measured."""
    measured = [(name, np.mean(cell["greedy"])) for name, cell in cells.items() if "greedy" in cell]
    each = ", ".join(f"{name} {mean:.{digits}f}" for name, mean in measured)
    return ["", f"Greedy play of the last policies, 1,000 episodes of each seed: {each}."] if measured else []


def _earlier(env: str, cells: Mapping[str, dict[str, Any]]) -> list[str]:
    """A sentence about the cells that were trained with other values than `tuned` has now; nothing without any."""
    names: dict[str, list[str]] = {}
    for algorithm, cell in cells.items():
        changed = changes_since(jaxmac.make(env, **TASKS[env].options), algorithm, cell["settings"])
        if changed:
            words = ", ".join(f"{name}={before}, now {now}" for name, (before, now) in changed.items())
            names.setdefault(words, []).append(algorithm)
    if not names:
        return []
    each = "; ".join(f"{', '.join(algorithms)} ({words})" for words, algorithms in names.items())
    return ["", f"Trained before a change of `tuned`: {each}."]


def changes_since(env: Environment, algorithm: str, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings of a run that differ from those of `tuned` now: name -> (stored value, value now).

    A setting that the run was trained without, because it is newer, counts with its default. The settings of a part
    that the run has and `tuned` has not, such as another sampler, are compared with what they are beside it.
    """
    config = configure(algorithm, "tuned", env, {})
    parts = {name: stored[name] for name in choosing_fields(type(config)) if name in stored}
    with_parts = configure(algorithm, "tuned", env, parts)
    found: dict[str, tuple[Any, Any]] = {}
    for field in fields(with_parts):
        beside = getattr(with_parts, field.name)
        before, now = stored.get(field.name, field.default), getattr(config, field.name, beside)
        if before != now:
            found[field.name] = before, now
    return found


def _across(found: Results) -> list[str]:
    """The statistics over the tasks that all algorithms share; nothing where they share none."""
    scores, absent = _scores(found), _compared(found)[1]
    if not scores:
        return []
    tasks = [env for env, cells in found.cells.items() if set(scores) <= set(cells)]
    lines = [
        ACROSS.format(tasks=", ".join(tasks), absent=absent).replace(". \n", ".\n"),
        f"| algorithm | interquartile mean | optimality gap | probability of improvement over {OVER} |",
        "|---|---|---|---|",
    ]
    middle = {name: statistics.interquartile_mean(returns) for name, returns in scores.items()}
    for name in sorted(scores, key=lambda name: -middle[name].value):
        gap = statistics.optimality_gap(scores[name])
        lines.append(f"| {name} | {_words(middle[name])} | {_words(gap)} | {_improvement(scores, name)} |")
    picture = "![Performance profiles](../experiments/results/benchmark/profiles.png)"
    return ["\n".join(lines) + "\n", picture + "\n"]


def _draw_profiles(found: Results, lines: Sequence[str]) -> None:
    """The profiles, with the colours that the learning curves have."""
    scores = _scores(found)
    if scores:
        profile_figure(scores, lines, unit="normalised return").savefig(
            benchmark_cells.FOLDER / "profiles.png", dpi=150
        )


def _scores(found: Results) -> dict[str, list[np.ndarray]]:
    """Normalised returns on each task that the compared algorithms share; nothing where there is none."""
    algorithms, _ = _compared(found)
    common = [env for env, cells in found.cells.items() if set(algorithms) <= set(cells)]
    if not common or len(algorithms) < 2:
        return {}
    return {name: [_normalised(found, env, name) for env in common] for name in algorithms}


def _compared(found: Results) -> tuple[list[str], str]:
    """The algorithms with results on at least half of the tasks, and a sentence about the others."""
    algorithms = list(dict.fromkeys(name for cells in found.cells.values() for name in cells))
    tasks = {name: sum(name in cells for cells in found.cells.values()) for name in algorithms}
    few = [name for name in algorithms if 2 * tasks[name] < len(found.cells)]
    words = f"Results on less than half of the tasks, and so not in it: {', '.join(few)}." if few else ""
    return [name for name in algorithms if name not in few], words


def _normalised(found: Results, env: str, algorithm: str) -> np.ndarray:
    random, best = found.anchors[env]["random"], found.anchors[env]["best"]
    return (np.array(found.cells[env][algorithm]["final"]) - random) / (best - random)


def _improvement(scores: Mapping[str, list[np.ndarray]], name: str) -> str:
    if name == OVER or OVER not in scores:
        return ""
    return _words(statistics.probability_of_improvement(scores[name], scores[OVER]))


def _words(estimate: statistics.Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
