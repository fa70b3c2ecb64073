"""The papers' claims, one by one, against the stored results: writes docs/reproduction.md.

    python -m experiments.reproduction

It trains nothing. Under `tuned` it reads the benchmark (experiments.benchmark), where a cell is missing there the
tasks (experiments.tasks), and the folders of other experiments.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import jaxmac
from experiments.common import RESULTS, mean_in_words, slug
from experiments.papers_claims import FIGURES, Failure, Figure
from experiments.papers_verdicts import finals, judge, judge_failure, name, summary_of
from experiments.tasks import TASKS, best_known, task_name
from jaxmac.analysis import interval

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
it cannot be told where none has a winner and most are not told apart. One about "most" holds if it is so in more
than half of them. A learner *fails* on a task if none of its seeds solves it
([thresholds](../experiments/results/tasks/summary.md)). Returns are undiscounted, and the best return known stands
beside a task. Those of actor-critics are of greedy play of the last policies where that was measured, else, as in
the benchmark's tables, of macro-actions drawn from the policies. The papers do not say whether their returns are
discounted: their numbers are there for orientation. Intervals of eight to ten seeds are a little too narrow: 95 %
ones hold the true mean in some [90 %](../experiments/results/interval_coverage/summary.md) of studies.

Three things to keep in mind. `tuned` is not the papers' training: it has lambda-returns over whole episodes, layer
normalisation and more ([what it adds](algorithms.md#what-tuned-adds-to-the-papers)), for the baselines as well, so
that a difference that the papers saw may be gone because everybody solves the task. Where all learners reach the
optimum, level is all that can be measured. And with other settings than these a claim may well hold.

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


def _cell(values: np.ndarray | None) -> str:
    if values is None:
        return ""
    digits = 2 if np.abs(values).max() <= 1 else 1
    row = dict(zip(("mean", "low", "high"), map(float, interval(values)), strict=True))
    return f"{mean_in_words(row, digits)} ({len(values)})"


def table(figure: Figure) -> list[str]:
    """Results of all learners of a figure, tasks as rows; the paper's numbers in a line above ours."""
    learners = list(dict.fromkeys(x for claim in figure.claims for x in claim.learners))
    tasks = list(dict.fromkeys(task for claim in figure.claims for task in claim.tasks))
    rows = []
    for task in tasks:
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
    rows = table(figure)
    lines = [f"## {figure.title}", "", *([*rows, ""] if rows else [])]
    for claim in figure.claims:
        remark = f" {claim.remark}" if claim.remark else ""
        sentence = judge_failure(claim) if isinstance(claim, Failure) else judge(claim).sentence
        lines.append(f"- *{claim.words}* {sentence}{remark}")
    return "\n".join(lines) + "\n"


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
    return "\n".join([HEAD, *map(section, FIGURES), under_paper(), found_wrong()])


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
