"""Losses and gradients of AVF and ToMacVF against plain loops in float64 over made-up episodes.

The loops are written from docs/specifications (tests/support/reference_*.py). Target networks differ from the
online ones, macro-actions are available here and there, padding is garbage. The quick tests take a few networks,
each with combinations of its own of the options that shape rows, such that all pairs of those options occur; the
slow ones draw everything at random.
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from autograd import value_and_grad
from support.loss_cases import ROWS, STEPS, Case, network, random_case, rows_cases, steps_cases
from support.losses_under_test import (
    EPISODES,
    cuts_of,
    loss_and_gradient,
    loss_and_gradient_of_an_update,
    random_state,
    weighted_sample,
)
from support.random_episodes import Team, random_batch
from support.reference_avf import avf_loss
from support.reference_rows import Record
from support.reference_tomacvf import tomacvf_loss

TEAM = Team()
# The code computes in float32. Over forty random cases its losses were off by up to 3e-7 and its gradients by up to
# 8e-6 of the largest entry of an array; or, in arrays that saturated units leave little of, by 1e-6 of the largest
# entry of all. A mistake changes them by far more. Layer normalisation divides by the spread of four units, which
# enlarges rounding: with it gradients were off by up to 5e-5.
TOLERANCE, NORMALISED_TOLERANCE = 1e-5, 1e-4


class Minibatch(NamedTuple):
    """Episodes, where the window of each begins, and the factor on the losses of its rows."""

    episodes: Any
    window_start: list[int]
    weight: list[float]


def made_up(seed, count=4):
    rng = np.random.default_rng(seed)
    episodes = random_batch(seed, TEAM, count)
    window_start = [int(rng.integers(-2, length // 2 + 1)) for length in episodes.length]
    return Minibatch(episodes, window_start, np.float32(rng.uniform(0.5, 2.0, len(window_start))).tolist())


def expected(case, state, minibatch):
    """The reference's loss and gradient."""
    options = case.options
    progress = (EPISODES - options["learning_starts"]) / options["hysteresis_episodes"]
    factor = options["hysteresis"] + (options["hysteresis_end"] - options["hysteresis"]) * progress
    settings = SimpleNamespace(
        **options | {"hysteresis": factor},
        mixer=case.algorithm_id.partition("-")[2],
        num_actions=TEAM.num_actions,
    )
    params, target = (
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree) for tree in (state.params, state.target)
    )
    episodes, window_start, weight = minibatch
    records = [Record(episodes, index) for index in range(len(weight))]
    if options.get("ablation") in ("none", "atpg"):
        return value_and_grad(tomacvf_loss)(params, target, records, weight, settings)
    return value_and_grad(avf_loss)(params, target, records, window_start, weight, settings)


def assert_agree(found, reference, tolerance=TOLERANCE):
    (loss, gradient), (reference_loss, reference_gradient) = found, reference
    assert float(loss) == pytest.approx(float(reference_loss), rel=tolerance)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(reference_gradient))
    assert largest > 1e-3

    def compare(path, leaf, reference_leaf):
        atol = tolerance * (np.abs(reference_leaf).max() + 0.2 * largest)
        np.testing.assert_allclose(leaf, reference_leaf, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path))

    jax.tree_util.tree_map_with_path(compare, gradient, reference_gradient)


def check(case, minibatch, rows, seed):
    algorithm_id, options = case.network
    state = random_state(algorithm_id, TEAM, options, seed)
    options = options | {"td_lambda": case.options["td_lambda"]}  # traced: the program stays the same
    found = loss_and_gradient(algorithm_id, TEAM, options, state, rows, minibatch.weight)
    tolerance = NORMALISED_TOLERANCE if case.options["layer_norm"] else TOLERANCE
    assert_agree(found, expected(case, state, minibatch), tolerance)


ROWS_CASES, STEPS_CASES = list(rows_cases()), list(steps_cases())


def cut_together(cases, minibatch):
    """Label -> (case, minibatch, the rows it learns from, a seed of its own)."""
    cuts = cuts_of([(case.algorithm_id, case.options) for case in cases], TEAM, weighted_sample(*minibatch))
    made = zip(cases, cuts, range(len(cases)), strict=True)
    return {case.label: (case, minibatch, rows, seed) for case, rows, seed in made}


@pytest.fixture(scope="module")
def on_rows():
    return cut_together(ROWS_CASES, made_up(seed=0, count=7))


@pytest.fixture(scope="module")
def on_steps():
    return cut_together(STEPS_CASES, made_up(seed=0))


@pytest.mark.parametrize("label", [case.label for case in ROWS_CASES])
def test_losses_and_gradients_on_joint_rows(label, on_rows):
    check(*on_rows[label])


@pytest.mark.parametrize("label", [case.label for case in STEPS_CASES])
def test_losses_and_gradients_on_all_steps(label, on_steps):
    check(*on_steps[label])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_losses_and_gradients_of_random_options(seed):
    ((case, minibatch, rows, _),) = cut_together([random_case(seed)], made_up(seed)).values()
    check(case, minibatch, rows, seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "rows"),
    [(network("avf-qmix", macro_state="joint"), ROWS), (network("tomacvf-qmix"), STEPS)],
    ids=["avf-qmix", "tomacvf-qmix"],
)
def test_an_update_descends_that_gradient(learner, rows):
    case = Case(learner, {name: values[0] for name, values in rows.items()})
    state, minibatch = random_state(case.algorithm_id, TEAM, case.options, seed=2), made_up(seed=2)
    sample = weighted_sample(*minibatch)
    found = loss_and_gradient_of_an_update(case.algorithm_id, TEAM, case.options, state, sample)
    tolerance = NORMALISED_TOLERANCE if case.options["layer_norm"] else TOLERANCE
    assert_agree(found, expected(case, state, minibatch), tolerance)
