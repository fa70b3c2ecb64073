"""The verdicts of experiments.reproduction and the counts of experiments.claims."""

import numpy as np
import pytest

import jaxmac
from experiments import claims, papers_claims, papers_verdicts, primitive, reproduction, tomacvf
from experiments.papers_claims import FIGURES, FOLDERS, Claim, Failure, Learning
from experiments.tasks import TASKS
from jaxmac.mixers.qmix import QMIX

HIGH, MIDDLE, LOW = np.arange(8) + 90.0, np.arange(8) + 40.0, np.arange(8) + 10.0
WIDE = np.array([95.0] * 5 + [20.0] * 3)  # now above HIGH, now below
CLAIM = Claim("A is above B.", ("avf-qplex",), ("avf-qmix",), ("one", "two"))


def told(**returns):
    """Results by task and learner, from `TASK_LEARNER=values`."""
    short = {"avf-qplex": "a", "avf-qmix": "b"}
    return lambda task, learner: returns.get(f"{task}_{short[learner]}")


@pytest.mark.parametrize(
    ("results", "or_level", "word"),
    [
        ({}, False, "Cannot be told"),
        ({"one_a": HIGH}, False, "Cannot be told"),
        ({"one_a": HIGH, "one_b": LOW}, False, "Holds where measured"),
        ({"one_a": HIGH, "one_b": LOW, "two_a": HIGH, "two_b": LOW}, False, "Holds"),
        ({"one_a": HIGH, "one_b": LOW, "two_a": LOW, "two_b": MIDDLE}, False, "Holds in part"),
        ({"one_a": HIGH, "one_b": HIGH}, False, "Does not hold"),
        ({"one_a": HIGH, "one_b": HIGH}, True, "Holds where measured"),
        ({"one_a": LOW, "one_b": HIGH}, True, "Does not hold"),
        ({"one_a": HIGH, "one_b": WIDE}, False, "Cannot be told"),
        ({"one_a": HIGH, "one_b": WIDE}, True, "Cannot be told"),
        ({"one_a": HIGH, "one_b": WIDE, "two_a": HIGH, "two_b": LOW}, False, "Holds in part"),
        ({"one_a": HIGH, "one_b": WIDE, "two_a": HIGH, "two_b": HIGH}, False, "Does not hold"),
    ],
)
def test_a_claim_is_judged_by_what_was_measured(results, or_level, word):
    assert papers_verdicts.judge(CLAIM._replace(or_level=or_level), told(**results)).word == word


def test_a_claim_about_most_needs_more_than_half():
    most = CLAIM._replace(most=True, tasks=("one", "two", "three"))
    above, level = {"one_a": HIGH, "one_b": LOW, "two_a": HIGH, "two_b": LOW}, {"three_a": HIGH, "three_b": HIGH}
    assert papers_verdicts.judge(most, told(**above, **level)).word == "Holds"
    half = {"one_a": HIGH, "one_b": LOW, "two_a": HIGH, "two_b": HIGH}
    assert papers_verdicts.judge(most, told(**half)).word == "Does not hold"


def test_a_claim_that_two_are_level():
    level = CLAIM._replace(level=True)
    both = papers_verdicts.judge(level, told(one_a=HIGH, one_b=HIGH, two_a=HIGH, two_b=HIGH))
    assert both.sentence == "**Holds**: true in 2 of 2 comparisons."
    one = papers_verdicts.judge(level, told(one_a=HIGH, one_b=HIGH, two_a=HIGH, two_b=LOW))
    assert one.word == "Holds in part" and one.sentence.endswith(
        "true in 1 of 2 comparisons: AVF-QPLEX above AVF-QMIX on two; AVF-QPLEX level with AVF-QMIX on one."
    )
    assert papers_verdicts.judge(level, told(one_a=HIGH, one_b=LOW)).word == "Does not hold"
    assert papers_verdicts.judge(level, told(one_a=HIGH, one_b=WIDE)).word == "Cannot be told"


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ({"one_a": HIGH}, "**Holds where measured**: true in 1 of 1 cases of a learner on a task. Without"),
        (
            {"one_a": HIGH, "one_b": LOW},
            "**Holds in part**: true in 1 of 2 cases of a learner on a task: AVF-QMIX not",
        ),
        (
            {"one_b": HIGH + 5},
            "**Does not hold**: true in 0 of 1 cases of a learner on a task: 3 of 8 seeds of AVF-QMIX",
        ),
        ({}, "**Cannot be told**: a result is missing."),
    ],
)
def test_a_learner_learns_something_where_it_is_above_one_action_repeated(results, sentence, monkeypatch):
    monkeypatch.setattr(papers_verdicts, "one_action_repeated", lambda task: 20.0)
    monkeypatch.setattr(papers_verdicts, "threshold", lambda task: 100.0)
    learning = Learning("Both learn.", ("avf-qplex", "avf-qmix"), ("one",))
    assert papers_verdicts.judge_learning(learning, told(**results)).startswith(sentence)


def test_what_was_not_run_has_a_command_that_its_experiment_takes():
    assert reproduction.commands("Warehouse-Q", ["mac-cen-q", "mac-niacc"]) == [
        "python -m experiments.benchmark --env Warehouse-Q --algorithm mac-cen-q",
        "jaxmac train --algorithm mac-niacc --env Warehouse-Q --env-options.preset neurips22 --episodes 25000 "
        "--seeds 10",
    ]
    assert reproduction.commands("Overcooked-B, ablations", ["whole", "without both"]) == [
        'python -m experiments.tomacvf --env Overcooked-B --only whole "without both"'
    ]
    assert {task.partition(",")[0] for task in papers_claims.PAPERS_ABLATIONS} <= set(tomacvf.ENVIRONMENTS)
    assert set(papers_claims.PRIMITIVE) == set(primitive.ENVIRONMENTS)


def test_one_action_repeated_is_the_best_of_all():
    """Who stays or turns on Box Pushing pays for twenty steps only; who moves on, at the wall as well."""
    assert primitive.best_repeated(jaxmac.make("BoxPushing-4-primitive", horizon=20), 2) == pytest.approx(-2.0)


def test_a_difference_of_less_than_one_percent_is_none():
    surely, hardly = (HIGH[:1] + more + np.arange(8) * 1e-3 for more in (1.0, 0.5))
    assert papers_verdicts.judge(CLAIM, told(one_a=surely, one_b=HIGH[:1].repeat(8))).above
    assert papers_verdicts.judge(CLAIM, told(one_a=hardly, one_b=HIGH[:1].repeat(8))).level


def test_the_sentence_counts_and_names_the_comparisons():
    verdict = papers_verdicts.judge(CLAIM, told(one_a=LOW, one_b=HIGH))
    assert verdict.sentence == (
        "**Does not hold**: true in 0 of 1 comparisons: AVF-QPLEX below AVF-QMIX on one. "
        "Without a result: 1 comparison."
    )


def test_many_comparisons_without_a_winner_are_a_number():
    level = [("avf-qmix", "avf-vdn", task) for task in "abcdef"]
    few = papers_verdicts.Verdict([], level[:5], [], [], []).sentence
    assert "AVF-QMIX level with AVF-VDN on a, b, c, d, e." in few
    assert ": level in 6." in papers_verdicts.Verdict([], level, [], [], []).sentence
    assert ": not told apart in 6; AVF-QMIX below" in papers_verdicts.Verdict([], [], level[:1], [], level).sentence


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ({}, "**Cannot be told**: a result is missing."),
        (
            {"Warehouse-S_a": LOW},
            "**Holds where measured**: true in 1 of 1 cases of a learner on a task. Without a result: 1 case.",
        ),
        (
            {"Warehouse-S_a": LOW, "Warehouse-S_b": HIGH + 155},
            "**Holds in part**: true in 1 of 2 cases of a learner on a task: "
            "3 of 8 seeds of AVF-QMIX solve Warehouse-S.",
        ),
    ],
)
def test_a_learner_fails_where_no_seed_solves_the_task(results, sentence):
    failure = Failure("Both fail.", ("avf-qplex", "avf-qmix"), ("Warehouse-S",))
    assert papers_verdicts.judge_failure(failure, told(**results)) == sentence


def test_greedy_play_of_actor_critics_counts_where_it_was_measured(tmp_path, monkeypatch):
    folder = tmp_path / "benchmark" / "warehouse_s"
    folder.mkdir(parents=True)
    monkeypatch.setattr(papers_verdicts, "RESULTS", tmp_path)
    (folder / "mac-iaicc.json").write_text('{"final": [1.0, 2.0]}')
    assert papers_verdicts.finals("Warehouse-S", "mac-iaicc").tolist() == [1.0, 2.0]
    (folder / "mac-iaicc.json").write_text('{"final": [1.0, 2.0], "greedy": [3.0, 4.0]}')
    assert papers_verdicts.finals("Warehouse-S", "mac-iaicc").tolist() == [3.0, 4.0]


def test_the_tasks_of_all_claims_exist():
    tasks = {task for figure in FIGURES for task in figure.tasks}
    assert tasks <= set(TASKS) | set(FOLDERS)
    assert {task for figure in FIGURES for task in figure.reported} <= tasks


def test_the_page_is_made_from_what_is_stored():
    assert reproduction.page() == reproduction.PAGE.read_text(), "run `python -m experiments.reproduction`"


def test_weights_that_read_the_choice_lose_individual_global_max(monkeypatch):
    monkeypatch.setattr(claims, "INSTANCES", 60)
    assert claims.violations(claims.ChoiceReadingQMIX(), True) > 0
    assert claims.violations(QMIX(), True) == 0


def test_a_mask_that_multiplies_lets_later_tokens_through(monkeypatch):
    monkeypatch.setattr(claims, "INSTANCES", 5)
    assert claims.leak(product=True) > 0.01
    assert claims.leak(product=False) == 0
