"""The papers' claims, one by one, against the stored results: writes docs/reproduction.md.

    python -m experiments.reproduction

It trains nothing. Under `tuned` it reads the benchmark (experiments.benchmark), where a cell is missing there the
tasks (experiments.tasks), and the folders of other experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import jaxmac
from experiments import benchmark, benchmark_cells
from experiments.benchmark_report import panel_of
from experiments.common import LINES, RESULTS, mean_in_words, slug
from experiments.papers_claims import FIGURES, FOLDERS, Claim, Failure, Figure, Learning
from experiments.papers_verdicts import finals, judge, judge_failure, judge_learning, name, summary_of
from experiments.tasks import TASKS, best_known, task_name
from jaxmac.analysis import Panel, interval, learning_curves

PAGE = RESULTS.parents[1] / "docs" / "reproduction.md"

HEAD = """# The papers, claim by claim

Each figure and table of the two papers that compares learners, what it claims, and what jaxmac's stored results say
of it under preset `tuned`: the mean return over seeds, its 95 % bootstrap interval and how many seeds, from the
[benchmark](benchmark.md) (seeds 300 to 309) or, where that has no result yet, from the
[tasks](../experiments/results/tasks/summary.md) (seeds 200 to 207). `tuned` is that of the day on which a cell was
trained: what has changed since stands under the benchmark's tables and in [experiments](../experiments/README.md).

Two learners are *level* on a task where their means differ by less than 1 % of the larger one. Else one is *above*
the other where the 95 % interval of the probability that a seed of it ends higher lies above one half, *below* it
where the interval lies below one half, and the two are *not told apart* where it contains one half. A claim holds
if the one is above the other in every comparison measured, holds in part if in some, and does not hold if in none;
it cannot be told where none has a winner and most are not told apart. Where a claim is that two are comparable, or
one at least level with the other, being level counts for it. One about "most" holds if it is so in more than half
of them. A learner *fails* on a task if none of its seeds solves it
([thresholds](../experiments/results/tasks/summary.md)); it *learns something* if the interval of its mean lies
above what the same action at every timestep earns. Returns are undiscounted, and the best return known stands
beside a task. Those of actor-critics are of greedy play of the last policies where that was measured, else, as in
the benchmark's tables, of macro-actions drawn from the policies. The papers do not say whether their returns are
discounted: their numbers are there for orientation. Intervals of eight to ten seeds are a little too narrow: 95 %
ones hold the true mean in some [90 %](../experiments/results/interval_coverage/summary.md) of studies.

Three things to keep in mind. `tuned` is not the papers' training: it has lambda-returns over whole episodes, layer
normalisation and more ([what it adds](algorithms.md#what-tuned-adds-to-the-papers)), for the baselines as well, so
that a difference that the papers saw may be gone because everybody solves the task. Where all learners reach the
optimum, level is all that can be measured. And with other settings than these a claim may well hold. Claims are in
our words; what the papers say of the speed of learning is not judged, the curves show it.

    python -m experiments.reproduction    # writes this page from the stored results; it trains nothing
"""

PAPER = """## Under the papers' own settings

Preset `paper` makes some 100,000 updates of 64 windows for each seed of AVF and ToMacVF, which takes two CPU cores
the better part of an hour, so that one run only was made of them: {label} on BoxPushing-10
([results](../experiments/results/paper_settings/summary.md)) ends after {episodes:,} episodes at {mean:.1f} of
{optimum}, with {solved} of {members} seeds at the optimum. Two seeds do not refute the paper's twenty.

For the baselines, which the AVF paper ran with the settings of their authors, `paper` is the same as `reference`
(*first to finish*: of four times as many episodes the first ones to end are learned from, as their programs do):

{baselines}

Rewards are those of the authors' programs there, so that returns on Box Pushing and Warehouse are not those of the
tables above ([details](../experiments/README.md#with-the-papers-and-the-references-settings)). Everything else
cannot be told under `paper`: it was not run.
"""
BASELINES = ("BoxPushing-10", "Warehouse-T", "Overcooked-B")  # tasks of experiments.macro_baselines with results

WRONG = """## Claims found wrong while specifying

Each of these is shown by `python -m experiments.claims`, over {count} random instances
([results](../experiments/results/claims/summary.md)).

- *QPLEX with the V of a synchronous agent keeps individual global max for macro-actions* (AVF, section 3).
  **Does not hold**: with V over all available macro-actions while some agents run on, {unconditional} of {count}
  instances have a joint macro-action that is better than the agents' own greedy ones; with V over the feasible set,
  as here, {conditional}. Raw dueling advantages break it in {raw}.
  ([How jaxmac resolves it](specifications/avf.md#9-ambiguities-and-how-they-are-resolved))
- *ATPG may read the joint macro-action that is being maximised* (ToMacVF, section 3.3, whose mask of the "first t
  entries" includes t). **Does not hold**: QMIX whose weights read it breaks individual global max in {chosen} of
  {count} instances, QMIX without it in {qmix}.
  ([How jaxmac resolves it](specifications/tomacvf.md#9-errors-and-gaps-of-the-paper-and-how-they-are-resolved))
- *A mask that multiplies the logits is causal* (ToMacVF, equation 9). **Does not hold**: redrawing two later tokens
  changes the earlier outputs by {product:.2g} (median), and by {additive:.2g} where hidden logits are -1e9.
"""

NOT_RUN = """## Not run

Besides preset `paper`, these comparisons of the papers have no result. (What `jaxmac train` writes can be compared
with `jaxmac plot`; this page reads the results of experiments only.)
"""


def _cell(values: np.ndarray | None) -> str:
    if values is None:
        return ""
    digits = 2 if np.abs(values).max() <= 1 else 1
    row = dict(zip(("mean", "low", "high"), map(float, interval(values)), strict=True))
    return f"{mean_in_words(row, digits)} ({len(values)})"


def table(figure: Figure) -> list[str]:
    """Results of all learners of a figure, tasks as rows; the paper's numbers in a line above ours."""
    reported = {x for numbers in figure.reported.values() for x in numbers}
    ran = {x for x in figure.learners for task in figure.tasks if finals(task, x) is not None}
    learners, rows = [x for x in figure.learners if x in reported | ran], []
    for task in figure.tasks:
        if task in figure.reported:
            rows.append(_row(f"{task}, paper", [figure.reported[task].get(x, "") for x in learners]))
        ours = [_cell(finals(task, learner)) for learner in learners]
        if any(ours):
            rows.append(_row(_with_best_known(task), ours))
    return [_row("", [name(x) for x in learners]), "|---" * (len(learners) + 1) + "|", *rows] if rows else []


def _with_best_known(task: str) -> str:
    """A task with its options, and with the optimum or the best return known where there is one."""
    if task not in TASKS:
        return task
    env = jaxmac.make(task, **TASKS[task].options)
    known = env.optimal_return is not None or env.best_known_return is not None
    return task_name(task) + (f", best known {best_known(task, None):.4g}" if known else "")


def _row(head: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([head, *cells])} |"


def section(figure: Figure) -> str:
    """Heading, table and verdicts of a figure."""
    rows, curves = table(figure), _curves(figure)
    lines = [f"## {figure.title}", "", *([*rows, ""] if rows else []), *([curves, ""] if curves else [])]
    for claim in figure.claims:
        remark = f" {claim.remark}" if claim.remark else ""
        lines.append(f"- *{claim.words}* {_verdict(claim)}{remark}")
    return "\n".join(lines) + "\n"


def _verdict(claim: Claim | Failure | Learning) -> str:
    if isinstance(claim, Claim):
        return judge(claim).sentence
    return judge_failure(claim) if isinstance(claim, Failure) else judge_learning(claim)


def _curves(figure: Figure) -> str:
    """The picture of a figure's learning curves, and links to those of results that are not the benchmark's."""
    lines = []
    if panels_of(figure):
        lines = [f"![Learning curves](../experiments/results/{picture(figure).relative_to(RESULTS)})"]
    drawn = {(panel.title.partition(",")[0], label) for panel in panels_of(figure) for label in panel.curves}
    others = {
        task: FOLDERS.get(task, f"tasks/{slug(task)}")
        for task in figure.tasks
        if any((task, name(x)) not in drawn and finals(task, x) is not None for x in figure.learners)
    }
    stored = {task: folder for task, folder in others.items() if (RESULTS / folder / "curve.png").exists()}
    links = [f"[{task}](../experiments/results/{folder}/curve.png)" for task, folder in stored.items()]
    lines += [f"Curves of other runs: {', '.join(links)}."] if links else []
    return "\n\n".join(lines)


def picture(figure: Figure) -> Path:
    """The file of a figure's learning curves."""
    words = figure.title.partition(":")[0].lower().replace(",", "").split()
    return RESULTS / "reproduction" / f"{'_'.join(words)}.png"


def panels_of(figure: Figure) -> list[Panel]:
    """Learning curves of the figure's learners on the tasks of the benchmark."""
    found = benchmark_cells.read(
        [env for env in benchmark.ENVIRONMENTS if env in figure.tasks],
        [algorithm for algorithm in benchmark.ALGORITHMS if algorithm in figure.learners],
    )
    panels = [panel_of(found, env) for env in found.cells]
    return [one._replace(curves={name(key): curve for key, curve in one.curves.items()}) for one in panels]


def draw() -> None:
    """Draw the learning curves of all figures."""
    (RESULTS / "reproduction").mkdir(exist_ok=True)
    for figure in FIGURES:
        if panels := panels_of(figure):
            drawn = learning_curves(panels, window=1, labels=[*LINES.values()], compact=len(panels) > 1)
            drawn.savefig(picture(figure), dpi=90)


def not_run() -> str:
    """The section on comparisons of the papers without a result, and the commands that make them."""
    lines = []
    for figure in FIGURES:
        for task in figure.tasks:
            asked = {x for claim in figure.claims if task in claim.tasks for x in claim.learners}
            absent = [x for x in figure.learners if x in asked and finals(task, x) is None]
            if absent:
                what = f"{figure.title.partition(':')[0]}, {task}: {', '.join(map(name, absent))}"
                lines.append(f"- {what}: {', '.join(f'`{line}`' for line in commands(task, absent))}")
    return "\n".join([NOT_RUN, *dict.fromkeys(lines), ""])


def commands(task: str, learners: Sequence[str]) -> list[str]:
    """What to run for the results of learners on a task."""
    if task in FOLDERS:
        experiment = "tomacvf" if FOLDERS[task].startswith("tomacvf") else FOLDERS[task].partition("/")[0]
        only = " ".join(f'"{x}"' if " " in x else x for x in learners)
        return [f"python -m experiments.{experiment} --env {task.partition(',')[0]} --only {only}"]
    cells = [x for x in learners if x in benchmark.ALGORITHMS and task in benchmark.ENVIRONMENTS]
    others, episodes = [x for x in learners if x not in cells], TASKS[task].episodes
    lines = [f"python -m experiments.benchmark --env {task} --algorithm {' '.join(cells)}"] if cells else []
    flags = "".join(f" --env-options.{option} {value}" for option, value in TASKS[task].options.items())
    words = f"--env {task}{flags} --episodes {episodes} --seeds 10"
    return lines + [f"jaxmac train --algorithm {x} {words}" for x in others]


def under_paper() -> str:
    """The section on preset `paper`."""
    lines = []
    for task in BASELINES:
        for row in summary_of(f"baselines_{slug(task)}")["rows"]:
            ends = f"{mean_in_words(row, 1)}, {row['solved']} of {row['members']} seeds solve it"
            best = f", optimum {row['optimum']:g}" if row["optimum"] else ""
            lines.append(f"- {row['label']} on {task}{best}: {ends} ({row['episodes']:,} episodes).")
    return PAPER.format(**summary_of("paper_settings")["rows"][0], baselines="\n".join(lines))


def found_wrong() -> str:
    """The section on the claims that enumeration refutes."""
    content = summary_of("claims")
    feasible, literal, _, raw, qmix, chosen = content["violations"].values()
    product, additive = content["leak"].values()
    counts = {"unconditional": literal, "conditional": feasible, "raw": raw, "qmix": qmix, "chosen": chosen}
    return WRONG.format(count=content["instances"], product=product, additive=additive, **counts)


def page() -> str:
    """The page, from what is stored."""
    return "\n".join([HEAD, *map(section, FIGURES), under_paper(), found_wrong(), not_run()])


def main() -> None:
    """Write the page."""
    draw()
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
