"""`check_mixer`: tests the properties of a mixer on random instances; one line names the property that fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmac.arguments import check_positive
from jaxmac.config import settings_of
from jaxmac.envs.shapes import kind_and_line, one_line
from jaxmac.errors import first_line
from jaxmac.mixers.base import MIXERS, MixerInputs, is_factorised, make_mixer
from jaxmac.networks.choice import conditional_argmax, feasible_set

STATE, HIDDEN, ACTIONS = 5, 6, 4
FEW = 40  # instances before a run
# Most of the time is compilation.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class MixerError(ValueError):
    """A mixer lacks a property that it must have; the message names it in one line."""


class Instance(NamedTuple):
    """Random parameters of a mixer and random inputs; in a batch of instances every leaf has a leading axis."""

    params: Any
    q_all: Float[Array, "agents actions"]
    available: Bool[Array, "agents actions"]
    choosing: Bool[Array, "agents"]
    running: Int[Array, "agents"]
    hidden: Float[Array, "agents features"]
    state: Float[Array, "state"]

    def inputs(self, joint: Int[Array, "joints agents"]) -> MixerInputs:
        """The inputs of the mixer for some joint macro-actions of one instance, `[joints, ...]`."""

        def tiled(x: Array) -> Array:
            return jnp.broadcast_to(x, (len(joint), *x.shape))

        feasible = feasible_set(self.available, self.choosing, self.running)
        after = map(tiled, (feasible, self.hidden, self.state, self.available))
        return MixerInputs(tiled(self.q_all), joint, *after)

    @property
    def greedy(self) -> Int[Array, "agents"]:
        """The agents' own best macro-actions; the running ones where agents do not choose."""
        return conditional_argmax(self.q_all, self.available, self.choosing, self.running)


def check_mixer(mixer: str | nn.Module | type[nn.Module], instances: int = 200) -> None:
    """Try a mixer on random instances: agents with different macro-actions, some of them running.

    Checked are its shape, that rows do not mix, and that infeasible entries change neither the value nor a gradient
    (NaN included). A mixer that is `factorised` must also be monotone in every utility of what it maximises, and no
    feasible joint macro-action may have a larger value than the agents' own greedy ones, found by enumeration for
    two and three agents, whether all or only some of them choose (the conditional form of individual global max,
    docs/specifications/mixers.md, section 5). One that is registered with `reads_state=False` must not depend on
    the state.

    Args:
        mixer: a registered name, a module, or a module class that is built with its defaults.
        instances: number of random instances.

    Raises MixerError, in one line, for the first property that does not hold.
    """
    check_positive("instances", instances)
    if isinstance(mixer, str):
        name, module = mixer, make_mixer(mixer)
    else:
        module = _built(mixer)
        name = next((n for n in MIXERS if MIXERS[n].module is type(module)), type(module).__name__)
    try:
        _check(module, instances)
        if name in MIXERS and not MIXERS[name].reads_state:
            check_state_unread(module, random_instances(module, 3, count=12))
    except MixerError as error:
        raise MixerError(f"mixer {name!r}: {error}") from None
    except Exception as error:
        raise MixerError(f"mixer {name!r} raised {kind_and_line(error)}") from error


def check_before_training(name: str, config: Any) -> None:
    """`check_mixer` of a mixer from outside with the settings of `config`; what has passed is not checked again.

    A mixer that cannot be tried, as it is written for other numbers of agents or sizes, is not refused.
    """
    module, fields = MIXERS[name].module, settings_of(MIXERS[name].module)
    values = {setting: getattr(config, setting) for setting in fields}
    if (key := (MIXERS[name], tuple(values.items()))) in _passed:
        return
    try:
        check_mixer(module(**values), FEW)
    except MixerError as error:
        if error.__cause__ is None:  # a property that does not hold
            raise
    _passed.add(key)


_passed: set[tuple[Any, ...]] = set()  # (what is registered, its settings with their values)


def _built(mixer: Any) -> Any:
    """The module, or that of a class with its defaults; MixerError for anything else."""
    if isinstance(mixer, nn.Module):
        return mixer
    if not isinstance(mixer, type) or not issubclass(mixer, nn.Module):
        raise MixerError(
            f"mixer is {one_line(mixer)}, but must be a registered name, or a flax module or its class"
        )
    try:
        return mixer()
    except TypeError as error:
        raise MixerError(
            f"mixer {mixer.__name__!r} cannot be built with its defaults: {first_line(error)}"
        ) from None


def _check(mixer: nn.Module, count: int) -> None:
    check_rows(mixer, random_instances(mixer, 3, count=12))
    check_padding(mixer, random_instances(mixer, 3, count=count))
    if not is_factorised(mixer):
        return
    check_monotone(mixer, random_instances(mixer, 3, count=count))
    for agents, conditional in itertools.product((2, 3), (False, True)):
        check_igm(mixer, random_instances(mixer, agents, conditional, count))


def random_instances(mixer: nn.Module, agents: int, conditional: bool = True, count: int = 200) -> Instance:
    """A batch of instances: large parameters (to spread weights), agents with 1 to 4 macro-actions each.

    Without `conditional` every agent chooses.
    """
    rng = np.random.default_rng(0)
    shape = (count, agents, ACTIONS)
    real = np.arange(ACTIONS) < rng.integers(1, ACTIONS + 1, (count, agents, 1))
    available = real & ((rng.random(shape) < 0.8) | (np.arange(ACTIONS) == 0))
    choosing = (rng.random(shape[:2]) < 0.5) | (not conditional)
    running = rng.integers(0, real.sum(-1))
    normal = rng.normal(size=(count, agents * (ACTIONS + HIDDEN) + STATE)).astype(np.float32)
    q_all, hidden, state = np.split(normal, [agents * ACTIONS, agents * (ACTIONS + HIDDEN)], axis=-1)
    q_all, hidden = 2 * q_all.reshape(shape), hidden.reshape(count, agents, HIDDEN)
    situations = Instance({}, *map(jax.device_put, (q_all, available, choosing, running, hidden, state)))

    def draw(leaf: Any) -> Array:
        bound = 3 / np.sqrt(leaf.shape[-2]) if leaf.ndim > 1 else 1.0  # three times the initial range
        return jax.device_put(rng.uniform(-bound, bound, (count, *leaf.shape)).astype(np.float32))

    def initial(key: Array, batch: Instance) -> Any:
        first = jax.tree.map(lambda x: x[0], batch)
        return mixer.init(key, first.inputs(first.running[None]))

    shapes = jax.eval_shape(initial, jax.random.key(0), situations)
    return situations._replace(params=jax.tree.map(draw, shapes))


def for_each(function: Any, *instances: Any) -> Any:
    """The results of `function` for every instance, as NumPy arrays with a leading axis."""
    return jax.tree.map(np.asarray, quick_jit(jax.vmap(function))(*instances))


def utility_gradient(mixer: nn.Module, params: Any, inputs: MixerInputs) -> Float[Array, "*rows agents"]:
    """dQ_tot/dQ_i for the utilities of the chosen macro-actions, row by row."""
    apply: Any = mixer.apply
    grad = jax.grad(lambda q: apply(params, inputs._replace(q_all=q)).sum())(inputs.q_all)
    return jnp.take_along_axis(grad, inputs.chosen[..., None], -1)[..., 0]


def check_rows(mixer: nn.Module, instances: Instance) -> None:
    """Permuted rows give permuted values, fewer rows the same ones, and leading axes are arbitrary."""
    params = jax.tree.map(lambda p: np.asarray(p)[0], instances.params)
    inputs = for_each(lambda instance: instance.inputs(instance.running[None]), instances._replace(params={}))
    rows = jax.tree.map(lambda x: x[:, 0], inputs)
    _check_rows_of("values", quick_jit(mixer.apply), params, rows)
    if hasattr(mixer, "auxiliary"):
        _check_rows_of("auxiliary losses", quick_jit(partial(mixer.apply, method="auxiliary")), params, rows)


def _check_rows_of(what: str, apply: Callable[..., Any], params: Any, rows: MixerInputs) -> None:
    count = len(rows.chosen)
    values = np.asarray(apply(params, rows))
    if values.shape != (count,):
        raise MixerError(f"{count} rows give {what} of shape {values.shape}, but must give ({count},)")
    if not np.isfinite(values).all():
        raise MixerError(f"gives {what} that are not finite")
    order = np.random.default_rng(0).permutation(count)
    permuted = apply(params, jax.tree.map(lambda x: x[order], rows))
    folded = apply(params, jax.tree.map(lambda x: x.reshape(3, count // 3, *x.shape[1:]), rows))
    if folded.shape != (3, count // 3):
        raise MixerError(f"rows of shape (3, {count // 3}) give {what} of shape {folded.shape}")
    fewer = apply(params, jax.tree.map(lambda x: x[: count // 2], rows))
    same = _close(permuted, values[order]), _close(folded.reshape(-1), values), _close(fewer, values[: count // 2])
    if not all(same):
        raise MixerError(f"the {what} of a row depend on the other rows")


def check_padding(mixer: nn.Module, instances: Instance) -> None:
    """Utilities of infeasible macro-actions, NaN included, change no value, no auxiliary loss and no gradient."""
    _check_padding_of("the value", mixer.apply, instances)
    if hasattr(mixer, "auxiliary"):
        _check_padding_of("the auxiliary loss", partial(mixer.apply, method="auxiliary"), instances)


def _check_padding_of(what: str, apply: Callable[..., Any], instances: Instance) -> None:
    def value_and_gradient(garbage: float, instance: Instance) -> Any:
        feasible = feasible_set(instance.available, instance.choosing, instance.running)
        spoiled = jnp.where(feasible, instance.q_all, garbage)
        joint = instance.greedy[None]

        def value(params: Any, q_all: Array) -> Array:
            return apply(params, instance._replace(q_all=q_all).inputs(joint))[0]

        return jax.value_and_grad(value, argnums=(0, 1))(instance.params, spoiled)

    clean = for_each(partial(value_and_gradient, 0.0), instances)
    for garbage in (1e8, jnp.nan):
        dirty = for_each(partial(value_and_gradient, garbage), instances)
        same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b, equal_nan=False)), clean, dirty)
        if not all(jax.tree.leaves(same)):
            raise MixerError(f"an infeasible utility of {garbage} changes {what} or its gradient")


def check_state_unread(mixer: nn.Module, instances: Instance) -> None:
    """The state has no influence on the value of a mixer that is registered as one that does not read it."""

    def value(instance: Instance) -> Array:
        apply: Any = mixer.apply
        return apply(instance.params, instance.inputs(instance.greedy[None]))[0]

    if not _close(for_each(value, instances), for_each(value, instances._replace(state=instances.state[::-1]))):
        raise MixerError("reads the state, but is registered with reads_state=False")


def check_monotone(mixer: nn.Module, instances: Instance) -> None:
    """Every dQ_tot/dQ_i is non-negative and most are positive."""

    def gradient(instance: Instance) -> Array:
        return utility_gradient(mixer, instance.params, instance.inputs(instance.running[None]))[0]

    grads = for_each(gradient, instances)
    if not grads.min() >= 0:
        raise MixerError(f"the joint value falls as a utility rises: a gradient of {grads.min():.3g}")
    if (grads > 0).mean() <= 0.9:
        raise MixerError(f"{(grads == 0).mean():.0%} of the utilities have no influence on the joint value")


def igm_gaps(mixer: nn.Module, instances: Instance) -> Float[np.ndarray, "instances"]:
    """Best feasible joint value minus that of the agents' own greedy choices, over 1 + |best|, by enumeration.

    In float64, where rounding cannot pass for a violation, nor hide one.
    """
    agents = instances.running.shape[-1]
    joint = np.array(list(itertools.product(range(ACTIONS), repeat=agents)))
    apply: Any = mixer.apply

    def gap(instance: Instance) -> Array:
        feasible = feasible_set(instance.available, instance.choosing, instance.running)
        allowed = feasible[jnp.arange(agents), joint].all(-1)
        values = jnp.where(allowed, apply(instance.params, instance.inputs(jnp.asarray(joint))), -jnp.inf)
        own = apply(instance.params, instance.inputs(instance.greedy[None]))[0]
        return (values.max() - own) / (1 + jnp.abs(values.max()))

    with jax.enable_x64(True):
        arrays = jax.device_get(instances)
        return for_each(gap, jax.tree.map(lambda x: x.astype(float) if x.dtype == np.float32 else x, arrays))


def check_igm(mixer: nn.Module, instances: Instance) -> None:
    """No feasible joint macro-action has a larger value than the tuple of the agents' own greedy ones."""
    gaps = igm_gaps(mixer, instances)
    broken = np.abs(gaps) > 1e-10
    if broken.any():
        agents, choosing = instances.running.shape[-1], np.asarray(instances.choosing)
        who = "all" if choosing.all() else "some"
        raise MixerError(
            f"with {agents} agents, {who} of them choosing, another joint macro-action is better than their own "
            f"in {broken.sum()} of {len(gaps)} instances (factorised = True promises that none is)"
        )


def _close(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-6))
