"""Whether a claim of the papers holds, by the final returns of stored results."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import RESULTS, slug
from experiments.papers_claims import FOLDERS, Claim, Failure, Learning
from experiments.tasks import ALGORITHMS, TASKS
from jaxmac.analysis import interval, statistics

LABELS = {algorithm: label for label, algorithm in ALGORITHMS.items()}
SAME = 0.01  # share of the larger mean: who is no further ahead is not above, however sure it is
Finals = Callable[[str, str], np.ndarray | None]
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
    is_level: bool = False

    @property
    def measured(self) -> int:
        """How many comparisons both results are stored for."""
        return len(self.above) + len(self.level) + len(self.below) + len(self.unclear)

    @property
    def agreeing(self) -> int:
        """How many comparisons came out as the claim has it."""
        if self.is_level:
            return len(self.level)
        return len(self.above) + len(self.level) * self.or_level

    @property
    def word(self) -> str:
        """What is to be said of the claim, in two or three words."""
        winners = len(self.above) + len(self.level) * (self.is_level or self.or_level) + len(self.below)
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
        whole = self.level if self.is_level else self.above  # that all comparisons are in it needs no list
        above, level = ([] if len(x) == self.measured and x is whole else x for x in (self.above, self.level))
        parts = [listed(above, "above")] if above else []
        parts += _without_a_winner(level, "level", "level with")
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
    for row in summary_of(folder).get("rows", []):
        if row["label"] in (learner, LABELS.get(learner)):
            return np.array(row["finals"])
    return None


def summary_of(folder: str) -> dict[str, Any]:
    """The summary of an experiment, from its folder in the results; empty without one."""
    path = RESULTS / folder / "summary.json"
    return json.loads(path.read_text()) if path.exists() else {}


def judge(claim: Claim, finals: Finals = finals) -> Verdict:
    """Compare the learners of a claim on each of its tasks."""
    verdict = Verdict([], [], [], [], [], claim.or_level, claim.most, claim.level)
    for task in claim.tasks:
        for ours in claim.above:
            for theirs in claim.below:
                pair = finals(task, ours), finals(task, theirs)
                _outcome(verdict, *pair).append((ours, theirs, task))
    return verdict


def judge_failure(failure: Failure, finals: Finals = finals) -> str:
    """What is to be said of a failure, and how many seeds solve each task nevertheless."""
    return _judge_each(failure, finals, _solving)


def judge_learning(learning: Learning, finals: Finals = finals) -> str:
    """What is to be said of learners that are claimed to learn something, without solving the task."""
    return _judge_each(learning, finals, lambda *result: _solving(*result) or _not_learning(*result))


def _solving(task: str, learner: str, found: np.ndarray) -> str:
    """How many seeds solve the task; "" if none does."""
    solved = int((found >= threshold(task)).sum())
    return f"{solved} of {len(found)} seeds of {name(learner)} solve {task}" if solved else ""


def _not_learning(task: str, learner: str, found: np.ndarray) -> str:
    """That the mean is not clearly above one action repeated; "" if it is."""
    repeated = one_action_repeated(task)
    if interval(found)[1] > repeated:
        return ""
    return f"{name(learner)} not clearly above one action repeated ({repeated:.1f}) on {task}"


def one_action_repeated(task: str) -> float:
    """The return of agents that repeat one action each, as stored with the results of a task."""
    return float(summary_of(FOLDERS[task])["anchors"]["one action repeated"])


def _judge_each(
    claim: Failure | Learning, finals: Finals, contradiction: Callable[[str, str, np.ndarray], str]
) -> str:
    """The verdict on a claim about single learners, from what contradicts it in the result of each on each task."""
    every = [(task, learner, finals(task, learner)) for task in claim.tasks for learner in claim.learners]
    stored = [(task, learner, found) for task, learner, found in every if found is not None]
    if not stored:
        return "**Cannot be told**: a result is missing."
    otherwise = [words for result in stored if (words := contradiction(*result))]
    measured, missing, agreeing = len(stored), len(every) - len(stored), len(stored) - len(otherwise)
    whole = "Holds where measured" if missing else "Holds"
    word = whole if not otherwise else "Holds in part" if agreeing else "Does not hold"
    how = f": {'; '.join(otherwise)}" if otherwise else ""
    absent = f" Without a result: {missing} {'cases' if missing > 1 else 'case'}." if missing else ""
    return f"**{word}**: true in {agreeing} of {measured} cases of a learner on a task{how}.{absent}"


def threshold(task: str) -> float:
    """The return from which on a task counts as solved."""
    return float(TASKS[task].threshold if task in TASKS else summary_of(FOLDERS[task])["threshold"])


def _outcome(verdict: Verdict, ours: np.ndarray | None, theirs: np.ndarray | None) -> list[Pair]:
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
        "mac-niacc": "Mac-NIACC",
        "tomacvf-qtran": "ToMacVF-QTRAN",
        "tomacvf-qplex": "ToMacVF-QPLEX",
        "whole": "ToMacVF",
    }
    if key.startswith("without "):
        return f"ToMacVF {key}"
    return (LABELS | baselines).get(key, key)
