"""Recorded values and the properties every mixer must have; a new factorised mixer is found by the table."""

import itertools
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from support.mixer_recordings import GOLDEN, close, golden_inputs, gradient_of, linear, mlp, value_of

from jaxmac.mixers import MIXERS, QMIX, QPLEX, MixerError, MixerInputs, check_mixer, make_mixer
from jaxmac.mixers.testing import (
    ACTIONS,
    HIDDEN,
    STATE,
    check_igm,
    check_monotone,
    check_padding,
    check_rows,
    for_each,
    igm_gaps,
    quick_jit,
    random_instances,
)
from jaxmac.networks.choice import conditional_argmax, feasible_max, is_action

FACTORISED = [name for name, mixer in MIXERS.items() if mixer.module.factorised]
random_cases = lru_cache(partial(random_instances, count=300))
greedy_of = quick_jit(jax.vmap(lambda case: case.greedy))


# --- recorded values ---------------------------------------------------------------------------------------


def stacked_mlp(prefix, layers, kernels=4):
    """Recorded networks `prefix.k`, one for each head, as one `StackedMLP`."""
    heads = [mlp(f"{prefix}.{k}", layers) for k in range(kernels)]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *heads)
    first = [head["linear_0"] for head in heads]
    params["linear_0"] = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *first)
    return params


def qmix_params(layers):
    return {
        "w1": mlp(f"qmix{layers}.hyper_w_1", layers),
        "w2": mlp(f"qmix{layers}.hyper_w_final", layers),
        "b1": linear(f"qmix{layers}.hyper_b_1"),
        "v": mlp(f"qmix{layers}.V", 2),
    }


def qplex_params(layers, grad=""):
    prefix = f"qplex{layers}.{grad}"
    heads = {h: stacked_mlp(f"{prefix}si_weight.{h}_extractors", layers) for h in ("key", "agents", "action")}
    return {"weight": mlp(f"{prefix}hyper_w_final", 2), "bias": mlp(f"{prefix}V", 2), **heads}


def terms(mixer, params, inputs):
    """What a QPLEX joint value is made of."""
    q_all, chosen, feasible, _, state, *_ = inputs
    return mixer.apply(params, q_all, chosen, feasible_max(q_all, feasible), state, method="terms")


def terms_of(mixer, params, inputs):
    return jax.device_get(quick_jit(partial(terms, mixer))(params, inputs))


@pytest.mark.parametrize("layers", [1, 2])
def test_qmix_recording(layers):
    mixer = QMIX(mixing_embed=8, hypernet_layers=layers, hypernet_embed=8)
    params, inputs = {"params": qmix_params(layers)}, golden_inputs()
    close(value_of(mixer, params, inputs), GOLDEN[f"qmix{layers}.Qtot"])
    close(gradient_of(mixer, params, inputs), GOLDEN[f"qmix{layers}.dQtot_dq"])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_qplex_recording(layers):
    mixer = QPLEX(kernels=4, hypernet_embed=8, advantage_layers=layers, advantage_embed=8)
    params, inputs = {"params": qplex_params(layers)}, golden_inputs()
    found = terms_of(mixer, params, inputs)
    close(found.importance, GOLDEN[f"qplex{layers}.lambda"])
    close(found.utility.sum(-1), GOLDEN[f"qplex{layers}.V_part"])
    close(((found.importance - 1) * found.advantage).sum(-1), GOLDEN[f"qplex{layers}.A_part"])
    close(value_of(mixer, params, inputs), GOLDEN[f"qplex{layers}.Qtot"])
    close(gradient_of(mixer, params, inputs), GOLDEN[f"qplex{layers}.dQtot_dq"])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_qplex_recorded_parameter_gradients(layers):
    mixer = QPLEX(kernels=4, hypernet_embed=8, advantage_layers=layers, advantage_embed=8)
    params, expected = qplex_params(layers), qplex_params(layers, "grad.")
    grad = quick_jit(jax.grad(lambda p: mixer.apply({"params": p}, golden_inputs()).sum()))(params)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), grad, expected)


# --- properties --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("agents", [2, 3])
@pytest.mark.parametrize("name", FACTORISED)
def test_igm(name, agents, conditional):
    mixer = make_mixer(name)
    cases = random_cases(mixer, agents, conditional)
    number = np.asarray(cases.choosing.sum(-1))
    assert set(number) == (set(range(agents + 1)) if conditional else {agents})
    check_igm(mixer, cases)


@pytest.mark.parametrize("name", FACTORISED)
def test_monotone(name):
    check_monotone(make_mixer(name), random_cases(make_mixer(name), 3))


@pytest.mark.parametrize("name", FACTORISED)
def test_padding_changes_nothing(name):
    check_padding(make_mixer(name), random_cases(make_mixer(name), 3))


@pytest.mark.parametrize("name", FACTORISED)
def test_rows_are_independent(name):
    check_rows(make_mixer(name), random_instances(make_mixer(name), 3, count=12))


def one_agent_rises(mixer, cases):
    """Relative rise of the joint value from each macro-action to the next better one `[instances, A - 1]`."""

    def ranked_values(case):
        case = case._replace(available=jnp.ones_like(case.available))
        return mixer.apply(case.params, case.inputs(jnp.argsort(case.q_all[0])[:, None]))

    values = for_each(ranked_values, cases)
    return values, np.diff(values, axis=-1) / (1 + np.abs(values[:, 1:]))


@pytest.mark.parametrize("name", FACTORISED)
def test_one_agent_alone_prefers_its_best(name):
    mixer = make_mixer(name)
    values, _ = one_agent_rises(mixer, random_cases(mixer, 1, conditional=False))
    assert ((values.max(-1) - values[:, -1]) / (1 + np.abs(values.max(-1)))).max() <= 1e-5
    assert (values.max(-1) - values.min(-1) > 1e-3).mean() > 0.9


@pytest.mark.parametrize("name", ["vdn", "qmix", "qplex"])
def test_one_agent_ranks_as_its_utilities(name):
    """QPLEX orders what is not greedy by lambda too, so here lambda must not see the macro-action."""
    mixer = make_mixer(name)
    cases = random_cases(mixer, 1, conditional=False)
    if name == "qplex":
        heads = jax.device_get(cases.params["params"])
        first = heads["action"]["linear_0"]
        reads_state_only = np.arange(first["kernel"].shape[1])[:, None] < STATE
        unseen = first | {"kernel": np.where(reads_state_only, first["kernel"], 0)}
        heads["action"] = heads["action"] | {"linear_0": unseen}
        cases = cases._replace(params={"params": heads})
    _, rises = one_agent_rises(mixer, cases)
    assert rises.min() >= -1e-5
    assert (rises > 1e-5).mean() > 0.9


def test_qmix_never_falls_when_a_utility_rises():
    mixer = make_mixer("qmix")
    cases = random_cases(mixer, 3)

    def rise(case):
        joint = case.running[None]
        before = mixer.apply(case.params, case.inputs(joint))[0]
        lifted = case.q_all + jnp.eye(3)[:, :, None]
        after = jax.vmap(lambda q: mixer.apply(case.params, case._replace(q_all=q).inputs(joint))[0])(lifted)
        return (after - before) / (1 + jnp.abs(before))

    rises = for_each(rise, cases)
    assert rises.min() >= -1e-6
    assert (rises > 1e-4).mean() > 0.9


def test_vdn_gradient_is_one():
    mixer = make_mixer("vdn")
    assert (gradient_of(mixer, {}, golden_inputs()) == 1).all()


@pytest.mark.parametrize("name", [name for name in FACTORISED if name != "vdn"])
def test_every_parameter_learns(name):
    mixer = make_mixer(name)
    cases = random_cases(mixer, 3, conditional=False)

    def gradient(case):
        return jax.grad(lambda p: mixer.apply(p, case.inputs(case.running[None]))[0])(case.params)

    for grad in jax.tree.leaves(for_each(gradient, cases)):
        assert (np.abs(grad).max(axis=0) > 0).mean() > 0.9


def test_qmix_parameter_gradient_by_finite_difference():
    mixer = QMIX(mixing_embed=8, hypernet_embed=8)
    flat, unravel = ravel_pytree(qmix_params(2))
    value = jax.jit(lambda p: mixer.apply({"params": unravel(p)}, golden_inputs()).sum())
    gradient = jax.jit(jax.grad(value))
    for seed in range(5):
        direction = jax.random.normal(jax.random.key(seed), flat.shape)
        slope = (value(flat + 1e-3 * direction) - value(flat - 1e-3 * direction)) / 2e-3
        np.testing.assert_allclose(gradient(flat) @ direction, slope, rtol=2e-2, atol=5e-2)


# --- QPLEX alone -------------------------------------------------------------------------------------------


def test_qplex_value_identity():
    mixer = make_mixer("qplex")
    cases = random_cases(mixer, 3)

    def parts(case):
        greedy = conditional_argmax(case.q_all, case.available, case.choosing, case.running)
        other = jnp.where(case.choosing, 0, case.running)  # macro-action 0 is always available
        joint = jnp.stack([greedy, other])
        found = terms(mixer, case.params, case.inputs(joint))
        value_part = (found.utility - found.advantage).sum(-1)  # sum_i w_i V_i + b_i
        advantage_part = (found.importance * found.advantage).sum(-1)
        q_tot = mixer.apply(case.params, case.inputs(joint))
        return q_tot, value_part, advantage_part, found, (other == greedy).all()

    q_tot, value_part, advantage_part, found, same = for_each(parts, cases)
    assert found.weight.min() > 0
    assert found.importance.min() > 0
    np.testing.assert_allclose(q_tot, value_part + advantage_part, rtol=1e-4, atol=1e-3)
    assert (advantage_part[:, 0] == 0).all()
    assert ((advantage_part[:, 1] < 0) == ~same).all()
    assert 0.1 < same.mean() < 0.9


def test_qplex_gradients():
    mixer = make_mixer("qplex")
    cases = random_cases(mixer, 3)

    def gradients(case, joint):
        def value(params, q_all):
            return mixer.apply(params, case._replace(q_all=q_all).inputs(joint[None]))[0]

        weight = terms(mixer, case.params, case.inputs(joint[None])).weight[0]
        return weight, *jax.grad(value, argnums=(0, 1))(case.params, case.q_all)

    greedy = np.asarray(greedy_of(cases))
    other = np.where(cases.choosing, 0, cases.running)
    for joint in (greedy, other):
        weight, params_grad, q_grad = for_each(gradients, cases, joint)
        # The whole gradient sits on the chosen entries: nothing reaches V_i.
        close(q_grad, weight[..., None] * np.eye(ACTIONS)[joint])
        at_greedy = (joint == greedy).all(-1)
        for head in ("key", "agents", "action"):
            learns = (params_grad["params"][head]["linear_0"]["kernel"] != 0).any((1, 2))
            np.testing.assert_array_equal(learns, ~at_greedy)


@pytest.mark.slow  # experiments/reproduction.py counts such cases
def test_unconditional_v_breaks_conditional_igm():
    """The literal form (V over everything available while a macro-action runs) is why V is taken over F_i."""
    literal = QPLEX(v_over_feasible=False)
    assert (igm_gaps(literal, random_cases(literal, 3)) > 1e-3).sum() >= 5
    check_igm(literal, random_cases(literal, 3, conditional=False))
    with pytest.raises(MixerError, match="some of them choosing, another joint macro-action is better"):
        check_igm(literal, random_cases(literal, 3))
    with pytest.raises(MixerError, match="mixer 'qplex': an infeasible utility of 1"):
        check_mixer(literal)


def test_unconditional_v_of_one_who_runs_on_with_nothing_available_is_its_own_utility():
    inputs = golden_inputs()
    runs_on = np.arange(inputs.chosen.shape[-1])[:, None] == 0
    feasible = np.where(runs_on, is_action(inputs.chosen, inputs.q_all.shape[-1]), True)
    inputs = inputs._replace(feasible=feasible, available=np.broadcast_to(~runs_on, feasible.shape))
    params = quick_jit(QPLEX().init)(jax.random.key(0), inputs)
    literal = value_of(QPLEX(v_over_feasible=False), params, inputs)
    close(literal, value_of(QPLEX(), params, inputs))
    assert np.abs(literal).max() < 1e3


def test_everyone_choosing_is_the_primitive_algorithm():
    """Both forms of V and the plain masked arg max agree bit for bit where every agent chooses."""
    mixer = make_mixer("qplex")
    literal = QPLEX(v_over_feasible=False)
    cases = random_cases(mixer, 3, conditional=False)
    masked = np.where(cases.available, cases.q_all, -1e9)
    np.testing.assert_array_equal(greedy_of(cases), masked.argmax(-1))
    ours, theirs = (
        quick_jit(jax.vmap(lambda case, m=m: m.apply(case.params, case.inputs(case.running[None]))))(cases)
        for m in (mixer, literal)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_qplex_options():
    inputs = golden_inputs()
    value = np.asarray(quick_jit(feasible_max)(inputs.q_all, inputs.feasible))
    params = quick_jit(QPLEX().init)(jax.random.key(0), inputs)
    plain = QPLEX(weighted_head=False)
    plain_terms = terms_of(plain, params, inputs)
    assert (plain_terms.weight == 1).all()
    close(plain_terms.utility, np.take_along_axis(GOLDEN["q_all"], GOLDEN["action"][..., None], -1)[..., 0])
    assert set(jax.eval_shape(plain.init, jax.random.key(0), inputs)["params"]) == {"key", "agents", "action"}
    found, joint_value = terms_of(QPLEX(), params, inputs), value_of(QPLEX(), params, inputs)
    difference = value_of(QPLEX(is_minus_one=False), params, inputs) - joint_value
    close(difference, found.advantage.sum(-1))
    close(value_of(QPLEX(), params, inputs._replace(value=value)), joint_value)
    shifted = value_of(QPLEX(), params, inputs._replace(value=value - 1)) - joint_value
    close(shifted, ((found.importance - 1) * found.weight).sum(-1), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="available"):
        QPLEX(v_over_feasible=False).apply(params, inputs)


def empty_inputs(agents, actions, state):
    q_all, chosen = jnp.zeros((1, agents, actions)), jnp.zeros((1, agents), int)
    return MixerInputs(q_all, chosen, q_all == 0, jnp.zeros((1, agents, HIDDEN)), jnp.zeros((1, state)))


@pytest.mark.parametrize("name", ["qmix", "qplex"])
def test_initial_parameters_are_uniform_in_one_over_sqrt_fan_in(name):
    inputs = empty_inputs(agents=3, actions=4, state=36)
    params = quick_jit(make_mixer(name, hypernet_embed=64).init)(jax.random.key(0), inputs)["params"]
    layers = jax.tree.leaves(jax.device_get(params), is_leaf=lambda x: "kernel" in x)
    assert len(layers) > 4
    for layer in layers:
        bound = layer["kernel"].shape[-2] ** -0.5
        for leaf in (layer["kernel"], layer["bias"]):
            assert 0 < np.abs(leaf).max() <= bound
        if layer["kernel"].size > 500:
            assert np.abs(layer["kernel"]).max() > 0.98 * bound
            np.testing.assert_allclose(layer["kernel"].std(), bound / 3**0.5, rtol=0.1)


def test_stacked_heads_start_different():
    params = jax.device_get(quick_jit(QPLEX(kernels=4).init)(jax.random.key(0), golden_inputs()))["params"]
    first = params["action"]["linear_0"]["kernel"].reshape(17, 4, 32)
    second = params["action"]["linear_1"]["kernel"]
    for a, b in itertools.combinations(range(4), 2):
        assert np.abs(first[:, a] - first[:, b]).max() > 0.1
        assert np.abs(second[a] - second[b]).max() > 0.1


def test_parameters_stay_small_on_the_largest_benchmark():
    inputs = empty_inputs(agents=5, actions=9, state=200)
    for name in ("qmix", "qplex"):
        shapes = jax.eval_shape(make_mixer(name).init, jax.random.key(0), inputs)
        assert 1e4 < sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 1e5
