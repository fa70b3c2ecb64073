"""What every factorised mixer must do, checked on random instances: each `check_` takes a mixer and asserts."""

import itertools
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.networks.choice import conditional_argmax, feasible_set

STATE, HIDDEN, ACTIONS = 5, 6, 4
INSTANCES = 300
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiling is most of it

close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def utility_gradient(mixer, params, inputs):
    """dQ_tot/dQ_i of the chosen utilities `[..., agents]` (rows do not mix)."""
    grad = jax.grad(lambda q: mixer.apply(params, q, *inputs[1:]).sum())(inputs[0])
    return jnp.take_along_axis(grad, inputs[1][..., None], -1)[..., 0]


class Case(NamedTuple):
    """One random instance; leading axis = instance in `cases`."""

    params: dict
    q_all: jax.Array
    available: jax.Array
    choosing: jax.Array
    running: jax.Array
    hidden: jax.Array
    state: jax.Array

    def inputs(self, joint):
        """Arguments of the mixer for joint macro-actions `[joints, agents]` of one instance."""

        def tiled(x):
            return jnp.broadcast_to(x, (len(joint), *x.shape))

        feasible = feasible_set(self.available, self.choosing, self.running)
        after = (feasible, self.hidden, self.state, self.available)
        return (tiled(self.q_all), joint, *map(tiled, after))


@lru_cache
def random_cases(mixer, agents, conditional=True):
    """Random instances: large parameters (to spread lambda), agents with 1 to A macro-actions each."""
    rng = np.random.default_rng(0)
    shape = (INSTANCES, agents, ACTIONS)
    real = np.arange(ACTIONS) < rng.integers(1, ACTIONS + 1, (INSTANCES, agents, 1))
    available = real & ((rng.random(shape) < 0.8) | (np.arange(ACTIONS) == 0))
    choosing = (rng.random(shape[:2]) < 0.5) | (not conditional)
    running = rng.integers(0, real.sum(-1))
    normal = rng.normal(size=(INSTANCES, agents * (ACTIONS + HIDDEN) + STATE)).astype(np.float32)
    q_all, hidden, state = np.split(normal, [agents * ACTIONS, agents * (ACTIONS + HIDDEN)], axis=-1)
    q_all, hidden = 2 * q_all.reshape(shape), hidden.reshape(INSTANCES, agents, HIDDEN)
    case = Case({}, q_all, available, choosing, running, hidden, state)

    def draw(leaf):
        bound = 3 / np.sqrt(leaf.shape[-2]) if leaf.ndim > 1 else 1.0  # three times the initial range
        return rng.uniform(-bound, bound, (INSTANCES, *leaf.shape)).astype(np.float32)

    first = jax.tree.map(lambda x: jnp.asarray(x[0]), case)
    shapes = jax.eval_shape(mixer.init, jax.random.key(0), *first.inputs(first.running[None]))
    return jax.tree.map(jnp.asarray, case._replace(params=jax.tree.map(draw, shapes)))


def for_each(function, *cases):
    """`function` of every instance, as numpy."""
    return jax.tree.map(np.asarray, quick_jit(jax.vmap(function))(*cases))


def igm_gap(mixer, case):
    """Best feasible joint value minus the value of the agents' own greedy choices, over 1 + |best|."""
    agents = case.running.shape[-1]
    joint = jnp.array(list(itertools.product(range(ACTIONS), repeat=agents)))
    feasible = feasible_set(case.available, case.choosing, case.running)
    allowed = feasible[jnp.arange(agents), joint].all(-1)
    values = jnp.where(allowed, mixer.apply(case.params, *case.inputs(joint)), -jnp.inf)
    greedy = conditional_argmax(case.q_all, case.available, case.choosing, case.running)
    own = mixer.apply(case.params, *case.inputs(greedy[None]))[0]
    return (values.max() - own) / (1 + jnp.abs(values.max()))


def igm_gaps(mixer, cases):
    """`igm_gap` of every instance in float64, where rounding cannot pass for a violation, nor hide one."""
    with jax.enable_x64(True):
        cases = jax.tree.map(lambda x: x.astype(float) if x.dtype == jnp.float32 else x, cases)
        return for_each(partial(igm_gap, mixer), cases)


def check_igm(mixer, agents, conditional):
    """No joint choice beats the agents' own; with `conditional` only some of them choose."""
    cases = random_cases(mixer, agents, conditional)
    number = np.asarray(cases.choosing.sum(-1))
    assert set(number) == (set(range(agents + 1)) if conditional else {agents})
    gap = igm_gaps(mixer, cases)
    assert gap.min() >= -1e-10, "the greedy choice was not among the enumerated ones"
    assert gap.max() <= 1e-10, f"{(gap > 1e-10).sum()} of {len(gap)} instances, worst {gap.max()}"


def check_monotone(mixer, agents=3):
    """Every dQ_tot/dQ_i is non-negative and not all are zero."""
    cases = random_cases(mixer, agents)

    def gradient(case):
        return utility_gradient(mixer, case.params, case.inputs(case.running[None]))[0]

    grads = for_each(gradient, cases)
    assert grads.min() >= 0
    assert (grads > 0).mean() > 0.9


def check_ignores_padding(mixer):
    """Nothing an infeasible entry holds can change the value or its gradient, NaN included."""
    cases = random_cases(mixer, 3)

    def value_and_gradient(garbage, case):
        feasible = feasible_set(case.available, case.choosing, case.running)
        greedy = conditional_argmax(case.q_all, case.available, case.choosing, case.running)[None]
        spoiled = jnp.where(feasible, case.q_all, garbage)

        def value(params, q_all):
            return mixer.apply(params, *case._replace(q_all=q_all).inputs(greedy))[0]

        return jax.value_and_grad(value, argnums=(0, 1))(case.params, spoiled)

    clean = for_each(partial(value_and_gradient, 0.0), cases)
    for other in (for_each(partial(value_and_gradient, garbage), cases) for garbage in (1e8, jnp.nan)):
        jax.tree.map(np.testing.assert_array_equal, clean, other)


def check_rows_are_independent(mixer):
    """Permuted rows give permuted values, and leading axes are arbitrary."""
    cases = random_cases(mixer, 3)
    params, rows = jax.tree.map(lambda p: p[0], cases.params), jax.tree.map(lambda x: x[:12], cases)
    feasible = feasible_set(rows.available, rows.choosing, rows.running)
    rows = (rows.q_all, rows.running, feasible, rows.hidden, rows.state, rows.available)
    apply = quick_jit(mixer.apply)
    values = np.asarray(apply(params, *rows))
    assert values.shape == (12,)
    assert len(np.unique(values)) == 12
    order = np.random.default_rng(0).permutation(12)
    close(apply(params, *(x[order] for x in rows)), values[order])
    close(apply(params, *(x.reshape(3, 4, *x.shape[1:]) for x in rows)), values.reshape(3, 4))
