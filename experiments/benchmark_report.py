"""The page, the figures and the statistics of the benchmark, from the cells that are stored."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

import jaxmac
from experiments import benchmark_cells
from experiments.benchmark_cells import Results, read
from experiments.common import LINES, RESULTS, mean_in_words
from experiments.tasks import TASKS, task_name
from jaxmac.algorithms.registry import configure
from jaxmac.analysis import Panel, interval, learning_curves, profile_figure, statistics
from jaxmac.config import choosing_fields
from jaxmac.envs import Environment
from jaxmac.networks.joint import MOST_JOINT_ACTIONS

PAGE = RESULTS.parents[1] / "docs" / "benchmark.md"
OVER = "avf-qmix"  # the probability of improvement is over this one
FIRST_SEED = 300
SCRIPTED = "scripted play"
ALWAYS_MOVING = (
    " Scripted play always moves to the target, which takes no learning; the threshold is below what that earns, "
    "and no learner is clearly above it."
)
# First seeds of the cells for which 300 to 309 had a part in choosing `actor_gain` (see experiments.tuning).
OTHER_SEEDS = {("CaptureTarget-10", "mac-ippo"): 310, ("CaptureTarget-10", "mac-mappo"): 310}

HEAD = """# Benchmark

Nine algorithms and thirteen tasks with preset `tuned` and ten seeds, as far as they have been run: the end of the
page lists what is missing. All have the same number of episodes on a task (rounded up to whole iterations).

- **Seeds** are 300 to 309, on which no sweep was tuned (310 to 319 for PPO on CaptureTarget-10, as the others had a
  part in choosing `actor_gain`). Failures of fresh seeds, some of these ten among them, did lead to sweeps over Box
  Pushing, Overcooked-B and C and the warehouses, whose values were chosen on tuning seeds; cells of the warehouses
  were then trained anew on the same ten, with another learning rate (MacDec-Q, MacCen-Q) or memory (Mac-IAICC, PPO)
  [than before](../experiments/README.md#the-baselines-and-how-carefully-each-was-tuned). Seeds without any such
  part are 400 to 415 ([experiments](../experiments/README.md#what-they-show)).
- **A seed's result** is the mean of its last ten evaluations, in which value-based algorithms act greedily and
  actor-critics (mac-iaicc, mac-ippo, mac-mappo) sample from their policies, as in the authors' programs. What their
  last policies earn in greedy play stands below a table where it was measured, as the mean of 1,000 episodes; with
  a star all seeds had the same episodes, whose own error (.016 on Capture Target) the interval leaves out. Some
  cells were trained a second time for it: on another machine the same seeds may end elsewhere, as sums are rounded
  otherwise. Both results are there, the second one in the table.
- **Intervals** are 95 % bootstrap intervals over seeds; for ten seeds they are a little too narrow, and hold the
  true mean in some [92 %](../experiments/results/interval_coverage/summary.md) of studies.
- **"Solved"** is the number of seeds at the return named under the task's heading.
- **Returns** are undiscounted; the column "discounted" has the mean of the discounted ones, from the first
  timestep, as MacroMARL reports them. The discount of `tuned` is {gammas}.
- **Minutes** are those of all seeds together, without compiling; where they are of more seeds, which one program
  trained, it says so. They are rough: runs on a CPU had one or two cores beside other work, and those on a GPU
  shared it with up to fifteen others; whole runs are timed in [benchmarks](../benchmarks/README.md#whole-runs).
- **Settings**: in the warehouses MacDec-Q and MacCen-Q, and ToMacVF on S, D and D1, have three times AVF's learning
  rate, which their sweeps chose (`experiments.tuning`); ToMacVF's results on T and T1 are with AVF's. On Box
  Pushing and Capture Target the critics of mac-iaicc see the state (MacIAISC), elsewhere joint observations. Where
  `tuned` has changed since a cell was trained, a line under the table says so.

Curves and settings of each cell are in [experiments/results/benchmark](../experiments/results/benchmark). A point
of a curve is one evaluation, or the mean of neighbouring ones where there were more than 100; a curve begins where
its algorithm starts to learn. The newest cells name commit, versions and machine as well (`trained_on`); the others
are of version 0.2.0 before its release, and name their settings.

    python -m experiments.benchmark             # trains the cells that are missing, then writes this page
    python -m experiments.benchmark --report    # writes this page from the stored cells
"""

ACROSS = """## Across tasks

Returns are normalised: 0 is random play, 1 the best return known. Interquartile mean, optimality gap, performance
profiles and the probability of improvement are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of
the Statistical Precipice" (2021), with 95 % intervals by a bootstrap stratified by task. {absent}

Three things to keep in mind. Returns of actor-critics are those of macro-actions drawn from their policies. A
probability of improvement counts any difference, also the hundredths by which the value-based learners at the
optimum of Box Pushing differ. And it matters which tasks there are: the second table is without {limiting}, which
has the fewest results, and the third without Box Pushing, where no policy gradient finds the big box and which so
decides how far these are behind.
"""

JOINT = (
    f"mac-cen-q has an output for each joint macro-action; where it has no result, these are {{}}. None of them is "
    f"above the largest number that jaxmac takes, {MOST_JOINT_ACTIONS:,}: what is missing is time, and on "
    "CaptureTarget-10 the memory for the replays of ten seeds at once."
)
NOT_GREEDY = "Greedy play of the last policies was not measured of {}."
ELSEWHERE = (
    "Eight seeds of AVF-QMIX, AVF-QPLEX and ToMacVF-QMIX on Overcooked-B and C are among the "
    "[tasks](../experiments/results/tasks/summary.md)."
)
ACTOR_CRITICS = ("mac-iaicc", "mac-ippo", "mac-mappo")


def write(environments: Sequence[str], algorithms: Sequence[str]) -> None:
    """Write the page and its figures."""
    found = read(environments, algorithms)
    if not found.cells:
        return
    panels = [panel_of(found, env) for env in found.cells]
    lines = list(dict.fromkeys([*LINES, *(label for panel in panels for label in panel.curves)]))
    figure = learning_curves(panels, window=1, labels=lines, compact=True)
    figure.savefig(benchmark_cells.FOLDER / "curves.png", dpi=110)
    _draw_profiles(found, lines)
    PAGE.write_text(page(found))


def page(found: Results) -> str:
    """The page, from what is stored."""
    text = [
        HEAD.format(gammas=_gammas(found)),
        "![Learning curves](../experiments/results/benchmark/curves.png)\n",
        *_across(found),
    ]
    text += [_task(found, env) for env in found.cells]
    if found.failed:
        text.append("## Without a result\n\n" + "".join(f"- {line}\n" for line in found.failed))
    if found.missing:
        text.append("## Not run yet\n\n" + "".join(f"- {line}\n" for line in found.missing))
    about = {JOINT: _joint_sizes(found), NOT_GREEDY: _without_greedy(found)}
    words = " ".join([*(sentence.format(what) for sentence, what in about.items() if what), ELSEWHERE])
    text.append(textwrap.fill(words, 116, break_on_hyphens=False) + "\n")
    return "\n".join(text)


def _gammas(found: Results) -> str:
    """The discount of each task's cells, in words."""
    tasks: dict[str, list[str]] = {}
    for env, cells in found.cells.items():
        for gamma in sorted({cell["settings"]["gamma"] for cell in cells.values()}):
            tasks.setdefault(f"{gamma:g}", []).append(env)
    most = max(tasks, key=lambda gamma: len(tasks[gamma]))
    others = [f"{gamma} on {', '.join(envs)}" for gamma, envs in tasks.items() if gamma != most]
    return ", ".join([most, *others])


def _joint_sizes(found: Results) -> str:
    """Where mac-cen-q has no result: the number of joint macro-actions, each an output of its network."""
    sizes = {env: math.prod(jaxmac.make(env, **TASKS[env].options).num_actions) for env in TASKS}
    without = [env for env in found.environments if "mac-cen-q" not in found.cells.get(env, {})]
    return ", ".join(f"{sizes[env]:,} on {env}" for env in without)


def _without_greedy(found: Results) -> str:
    """The actor-critics' cells without a measurement of greedy play."""
    absent: dict[str, list[str]] = {}
    for env, cells in found.cells.items():
        names = [name for name in ACTOR_CRITICS if name in cells and "greedy" not in cells[name]]
        if names:
            absent.setdefault(", ".join(names), []).append(env)
    return "; ".join(f"{names} on {', '.join(tasks)}" for names, tasks in absent.items())


def panel_of(found: Results, env: str) -> Panel:
    """The learning curves of a task's cells, by algorithm, with what they are compared with."""
    curves = {algorithm: cell["curve"] for algorithm, cell in found.cells[env].items()}
    best, levels = found.anchors[env]["best"], {"random play": found.anchors[env]["random"]}
    word = _word_for_the_best(env)
    if word == SCRIPTED:
        return Panel(task_name(env), curves, anchors=levels | {word: best})
    return Panel(task_name(env), curves, best if word == "optimum" else None, best, levels)


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
        f"{best['random']:.{digits}f}.{ALWAYS_MOVING if label == SCRIPTED else ''}",
        "",
        "| algorithm | mean [interval] | solved | median | worst seed | discounted | minutes | on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = sorted(found.cells[env].items(), key=lambda item: -np.mean(item[1]["final"]))
    for algorithm, cell in rows:
        final = np.array(cell["final"])
        lines.append(
            f"| {algorithm} | {_mean_of(final, digits)} | {(final >= threshold).sum()} of {len(final)} "
            f"| {np.median(final):.{digits}f} | {final.min():.{digits}f} "
            f"| {np.mean(cell['final_discounted']):.{digits}f} "
            f"| {cell['minutes']:.1f}{_timing(cell)} | {cell['backend']} |"
        )
    cells = found.cells[env]
    return "\n".join(lines + _greedy(cells, digits) + _before(cells, digits) + _earlier(env, cells)) + "\n"


def _mean_of(values: np.ndarray, digits: int) -> str:
    """The mean of several seeds with its interval, in words."""
    row = dict(zip(("mean", "low", "high"), map(float, interval(values)), strict=True))
    return mean_in_words(row, digits)


def _timing(cell: Mapping[str, Any]) -> str:
    """What the minutes of a cell are of, in brackets, where that is more than its own seeds."""
    return f" ({cell['timing']})" if "timing" in cell else ""


def _greedy(cells: Mapping[str, dict[str, Any]], digits: int) -> list[str]:
    """A sentence about greedy play of the actor-critics; nothing without any measured."""
    measured = {name: np.array(cell["greedy"]) for name, cell in cells.items() if "greedy" in cell}
    alike = {name for name in measured if "greedy_seeds" not in cells[name]}
    each = ", ".join(f"{name}{'*' * (name in alike)} {_mean_of(x, digits)}" for name, x in measured.items())
    return ["", f"Greedy play of the last policies, 1,000 episodes of each seed: {each}."] if measured else []


def _before(cells: Mapping[str, dict[str, Any]], digits: int) -> list[str]:
    """A sentence about the cells that were trained a second time; nothing without any."""
    before = {name: cell["trained_before"] for name, cell in cells.items() if "trained_before" in cell}
    each = ", ".join(
        f"{name} {_mean_of(np.array(cell['final']), digits)} on {cell['backend']}" for name, cell in before.items()
    )
    return (
        ["", f"Trained a second time for greedy play; the first time the same seeds had: {each}."] if each else []
    )


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
    algorithms, absent = _compared(found)
    if not _scores(found, algorithms):
        return []
    limiting = min(algorithms, key=lambda name: sum(name in cells for cells in found.cells.values()))
    others = [name for name in algorithms if name != limiting]
    picture = "![Performance profiles](../experiments/results/benchmark/profiles.png)"
    text = ACROSS.format(absent=absent, limiting=limiting).replace(". \n", ".\n")
    fewer = found._replace(cells={env: cells for env, cells in found.cells.items() if "BoxPushing" not in env})
    tables = [
        _compared_on_all(found, algorithms),
        _compared_on_all(found, others),
        _compared_on_all(fewer, algorithms),
    ]
    return [text, *filter(None, tables), f"{picture}\n"]


def _compared_on_all(found: Results, algorithms: Sequence[str]) -> str:
    """The table over the tasks on which all these algorithms have a result, under the names of the tasks."""
    scores = _scores(found, algorithms)
    if not scores:
        return ""
    tasks = _shared(found, algorithms)
    many = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    lines = [
        f"All {len(algorithms)} algorithms have a result on {many}: {', '.join(tasks)}.",
        "",
        f"| algorithm | interquartile mean | optimality gap | probability of improvement over {OVER} |",
        "|---|---|---|---|",
    ]
    middle = {name: statistics.interquartile_mean(returns) for name, returns in scores.items()}
    for name in sorted(scores, key=lambda name: -middle[name].value):
        gap = statistics.optimality_gap(scores[name])
        lines.append(f"| {name} | {_words(middle[name])} | {_words(gap)} | {_improvement(scores, name)} |")
    return "\n".join(lines) + "\n"


def _draw_profiles(found: Results, lines: Sequence[str]) -> None:
    """The profiles, with the colours that the learning curves have."""
    if scores := _scores(found, _compared(found)[0]):
        figure = profile_figure(scores, lines, unit="normalised return", detail=(0.9, 1.0))
        figure.savefig(benchmark_cells.FOLDER / "profiles.png", dpi=150)


def _shared(found: Results, algorithms: Sequence[str]) -> list[str]:
    """The tasks on which all these algorithms have a result."""
    return [env for env, cells in found.cells.items() if set(algorithms) <= set(cells)]


def _scores(found: Results, algorithms: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Normalised returns on each task that these algorithms share; nothing where there is none."""
    common = _shared(found, algorithms)
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
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
