"""The papers' claims, one by one, against the stored results: writes docs/reproduction.md.

    python -m experiments.reproduction

It trains nothing. Under `tuned` it reads the benchmark (experiments.benchmark), where a cell is missing there the
tasks (experiments.tasks), and the folders of other experiments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxmac
from experiments.common import RESULTS, mean_in_words, slug
from experiments.papers_claims import FIGURES, FOLDERS, Claim, Failure, Figure
from experiments.tasks import ALGORITHMS, TASKS, best_known, task_name
from jaxmac.analysis import interval, statistics

PAGE = RESULTS.parents[1] / "docs" / "reproduction.md"
LABELS = {algorithm: label for label, algorithm in ALGORITHMS.items()}
SAME = 0.01  # share of the larger mean: who is no further ahead is not above, however sure it is
Finals = Callable[[str, str], np.ndarray | None]

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


Pair = tuple[str, str, str]  # learner, learner, task
MOST_LISTED = 5  # comparisons without a winner by name; of more the number alone, which tasks is in the table


class Verdict(NamedTuple):
    """The comparisons of a claim by their outcome."""

    above: list[Pair]
    level: list[Pair]
    below: list[Pair]
    missing: list[Pair]
    unclear: list[Pair]
    or_level: bool = False
    most: bool = False

    @property
    def measured(self) -> int:
        """How many comparisons both results are stored for."""
        return len(self.above) + len(self.level) + len(self.below) + len(self.unclear)

    @property
    def agreeing(self) -> int:
        """How many comparisons came out as the claim has it."""
        return len(self.above) + len(self.level) * self.or_level

    @property
    def word(self) -> str:
        """What is to be said of the claim, in two or three words."""
        winners = self.agreeing + len(self.below)
        if not self.measured or (not winners and 2 * len(self.unclear) > self.measured):
            return "Cannot be told"
        if self.agreeing == self.measured or (self.most and 2 * self.agreeing > self.measured):
            return "Holds where measured" if self.missing else "Holds"
        return "Holds in part" if self.agreeing and not self.most else "Does not hold"

    @property
    def sentence(self) -> str:
        """The word, and how the comparisons came out."""
        if not self.measured:
            return f"**{self.word}**: a result is missing."
        parts = [listed(self.above, "above")] if self.above and len(self.above) < self.measured else []
        parts += _without_a_winner(self.level, "level", "level with")
        parts += _without_a_winner(self.unclear, "not told apart", "not told apart from")
        parts += [listed(self.below, "below")] if self.below else []
        how = f": {'; '.join(parts)}" if parts else ""
        count = len(self.missing)
        missing = f" Without a result: {count} comparison{'s' * (count > 1)}." if count else ""
        return f"**{self.word}**: true in {self.agreeing} of {self.measured} comparisons{how}.{missing}"


def _without_a_winner(pairs: Sequence[Pair], outcome: str, between: str) -> list[str]:
    """Comparisons that are level or not told apart, by name or as a number."""
    if len(pairs) > MOST_LISTED:
        return [f"{outcome} in {len(pairs)}"]
    return [listed(pairs, between)] if pairs else []


def listed(pairs: Sequence[Pair], outcome: str) -> str:
    """Comparisons of one outcome in words, those of the same two learners together."""
    tasks: dict[str, list[str]] = {}
    for ours, theirs, task in pairs:
        tasks.setdefault(f"{name(ours)} {outcome} {name(theirs)}", []).append(task)
    return ", ".join(f"{two} on {', '.join(on)}" for two, on in tasks.items())


def finals(task: str, learner: str) -> np.ndarray | None:
    """Final return of each seed, `[seeds]`, or None where nothing is stored."""
    cell = RESULTS / "benchmark" / slug(task) / f"{learner}.json"
    if cell.exists() and "final" in (content := json.loads(cell.read_text())):
        return np.array(content.get("greedy", content["final"]))
    folder = FOLDERS.get(task, f"tasks/{slug(task)}")
    for row in _summary(folder).get("rows", []):
        if row["label"] in (learner, LABELS.get(learner)):
            return np.array(row["finals"])
    return None


def _summary(folder: str) -> dict[str, Any]:
    path = RESULTS / folder / "summary.json"
    return json.loads(path.read_text()) if path.exists() else {}


def judge(claim: Claim, finals: Finals = finals) -> Verdict:
    """Compare the learners of a claim on each of its tasks."""
    verdict = Verdict([], [], [], [], [], claim.or_level, claim.most)
    for task in claim.tasks:
        for ours in claim.above:
            for theirs in claim.below:
                pair = finals(task, ours), finals(task, theirs)
                _outcome(verdict, *pair).append((ours, theirs, task))
    return verdict


def judge_failure(failure: Failure, finals: Finals = finals) -> str:
    """What is to be said of a failure, and how many seeds solve each task nevertheless."""
    measured, solving = 0, []
    for task in failure.tasks:
        for learner in failure.learners:
            if (found := finals(task, learner)) is None:
                continue
            measured += 1
            if solved := int((found >= threshold(task)).sum()):
                solving.append(f"{solved} of {len(found)} seeds of {name(learner)} solve {task}")
    missing = len(failure.tasks) * len(failure.learners) - measured
    failing = measured - len(solving)
    if not measured:
        return "**Cannot be told**: a result is missing."
    whole = "Holds where measured" if missing else "Holds"
    word = whole if not solving else "Holds in part" if failing else "Does not hold"
    how = f": {'; '.join(solving)}" if solving else ""
    absent = f" Without a result: {missing} {'cases' if missing > 1 else 'case'}." if missing else ""
    return f"**{word}**: true in {failing} of {measured} cases of a learner on a task{how}.{absent}"


def threshold(task: str) -> float:
    """The return from which on a task counts as solved."""
    return float(TASKS[task].threshold if task in TASKS else _summary(FOLDERS[task])["threshold"])


def _outcome(verdict: Verdict, ours: np.ndarray | None, theirs: np.ndarray | None) -> list[str]:
    if ours is None or theirs is None:
        return verdict.missing
    means = float(np.mean(ours)), float(np.mean(theirs))
    if abs(means[0] - means[1]) < SAME * max(map(abs, means)):
        return verdict.level
    better = statistics.probability_of_improvement([ours], [theirs])
    if better.low > 0.5:
        return verdict.above
    return verdict.below if better.high < 0.5 else verdict.unclear


def name(key: str) -> str:
    """A learner as it is written on the page."""
    baselines = {
        "mac-cen-q": "MacCen-Q",
        "tomacvf-qtran": "ToMacVF-QTRAN",
        "tomacvf-qplex": "ToMacVF-QPLEX",
        "whole": "ToMacVF",
    }
    if key.startswith("without "):
        return f"ToMacVF {key}"
    return (LABELS | baselines).get(key, key)


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
        for row in _summary(f"baselines_{slug(task)}")["rows"]:
            ends = f"{mean_in_words(row, 1)}, {row['solved']} of {row['members']} seeds solve it"
            best = f", optimum {row['optimum']:g}" if row["optimum"] else ""
            lines.append(f"- {row['label']} on {task}{best}: {ends} ({row['episodes']:,} episodes).")
    return PAPER.format(**_summary("paper_settings")["rows"][0], baselines="\n".join(lines))


def found_wrong() -> str:
    """The section on the claims that enumeration refutes."""
    content = _summary("claims")
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
