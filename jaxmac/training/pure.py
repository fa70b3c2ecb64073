"""`make_train`: training as one pure function, which users can `jit`, `vmap` and shard themselves."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.algorithms import Algorithm, configure, make_algorithm
from jaxmac.arguments import LARGEST_COUNT, check_positive, check_switch
from jaxmac.config import check_value, settings_of
from jaxmac.envs.arguments import python_value
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.errors import nearest
from jaxmac.hyper import Hyper, hyper_of, static_view
from jaxmac.record.policy import Policy
from jaxmac.runs.rows import refuse_taken_names
from jaxmac.training.checks import (
    check_contract,
    check_counts,
    check_mixers,
    check_size,
    environment_of,
    most_steps,
)
from jaxmac.training.compiled import TrainingFunctions, training_functions


class TrainFunction:
    """`train(key, hyper=None) -> (learner, metrics)`: one member's training, without any side effect.

    Attributes:
        env: the environment.
        config: the config of the algorithm.
        algorithm: the algorithm, built for this environment and config.
        functions: the functions `init`, `advance` and `evaluate` of training, which `jaxmac.train` runs as well.
        hyper: the traced hyperparameters with their defaults, a dict of floats.
        iterations: number of iterations, each of `config.num_envs` episodes.
    """

    def __init__(self, env: Environment, config: Any, algorithm: Algorithm, episodes: int):
        self.env, self.config, self.algorithm = env, config, algorithm
        self.functions: TrainingFunctions = training_functions(env, algorithm, static_view(config))
        self.hyper: dict[str, float] = {name: getattr(config, name) for name in hyper_of(config)}
        self.iterations = -(-episodes // config.num_envs)

    def __call__(self, key: Array, hyper: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Array]]:
        """Train one member.

        Args:
            key: a typed key; the member of `jaxmac.train` with seed s uses `jax.random.key(s)`.
            hyper: traced hyperparameters by name, numbers or scalar arrays, that replace the defaults.

        Returns the learner and a dict of metrics: the columns of metrics.csv from `episodes` on without
        `wall_seconds`, each `[evaluations]`. The first evaluation is before any training. What does not apply is
        NaN, or 0 with `jax_debug_nans`.

        Raises ValueError, in one line, for a name that is not a traced hyperparameter or a number out of range.
        """
        given = self._hyper(hyper)
        interval = -(-self.config.eval_every // self.config.num_envs)
        member = self.functions.init(key, given)
        member, first = self._evaluate(member, key, given, jnp.int32(0), jnp.zeros(2, jnp.int32))
        ends = jnp.arange(1, self.iterations // interval + 1, dtype=jnp.int32) * interval

        def until(carry: tuple, end: Array) -> tuple[tuple, dict[str, Array]]:
            member, totals, start = carry
            member = self.functions.advance(member, key, given, start, end)
            member, row = self._evaluate(member, key, given, end, totals)
            return (member, jnp.stack([row["env_steps"], row["updates"]]), end), row

        carry, rows = jax.lax.scan(until, (member, jnp.zeros(2, jnp.int32), jnp.int32(0)), ends)
        rows = jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, rows)
        if self.iterations % interval:
            carry, last = until(carry, jnp.int32(self.iterations))
            rows = jax.tree.map(lambda more, one: jnp.concatenate([more, one[None]]), rows, last)
        return carry[0].learner, rows

    def policy(self, learner: Any, hyper: Mapping[str, Any] | None = None) -> Policy:
        """The evaluation policy of a learner: greedy for value-based algorithms, sampled for actor-critics."""
        return self.algorithm.evaluation(learner, self._hyper(hyper))

    def _hyper(self, hyper: Mapping[str, Any] | None) -> Hyper:
        fields = settings_of(type(self.config))
        if hyper is not None and not isinstance(hyper, Mapping):
            raise ValueError(f"hyper is {one_line(hyper)}, but must be a dict, hyperparameter -> value")
        given = {name: python_value(value) for name, value in (hyper or {}).items()}
        for name, value in given.items():
            if name not in self.hyper:
                raise ValueError(f"{name!r} is not a traced hyperparameter; {nearest(name, self.hyper)}")
            if isinstance(value, numbers.Real) and not isinstance(value, bool):
                check_value(name, fields[name], float(value))
            elif not isinstance(value, jax.core.Tracer) or value.shape != ():  # one that is traced has no value yet
                several = "jax.vmap(train, in_axes=(None, 0)) trains one member for each of several"
                raise ValueError(f"hyper[{name!r}] is {one_line(value)}, but must be a number; {several}")
        values = {**self.hyper, **given}
        # The value of a tracer is not known yet: settings are checked with NaN in its place.
        checked = {name: float(x) if isinstance(x, numbers.Real) else math.nan for name, x in values.items()}
        dataclasses.replace(self.config, **checked).check_together()
        return Hyper(**{name: jnp.asarray(value, jnp.float32) for name, value in values.items()})

    def _evaluate(
        self, member: Any, key: Array, hyper: Hyper, iteration: Array, totals: Array
    ) -> tuple[Any, dict[str, Array]]:
        """One evaluation as a row of metrics; `totals` are the environment steps and updates before it."""
        means, tally, member = self.functions.evaluate(member, key, hyper, iteration)
        row = {
            "episodes": iteration * self.config.num_envs,
            "env_steps": totals[0] + tally.env_steps,
            "updates": totals[1] + tally.updates,
            **{name: _none() if mean is None else mean for name, mean in means._asdict().items()},
            "train_return": _mean(tally.return_sum, tally.episodes),
            "loss": _mean(tally.loss_sum, tally.updates),
            "epsilon": tally.epsilon,
            **{name: _mean(total, tally.updates) for name, total in tally.diagnostics.items()},
        }
        return member, row


def _mean(total: Float[Array, ""], count: Int[Array, ""]) -> Float[Array, ""]:
    """The mean of `count` numbers; `_none` of none."""
    return jnp.where(count > 0, total / jnp.maximum(count, 1), _none())


def _none() -> Float[Array, ""]:
    """NaN where a column does not apply; 0 with `jax_debug_nans`, which takes every NaN for an error."""
    return jnp.float32(0.0 if jax.config.jax_debug_nans else jnp.nan)  # type: ignore[attr-defined]


def make_train(
    algorithm: str,
    env: str | Environment = "BoxPushing-10",
    *,
    preset: str = "tuned",
    episodes: int = 5_000,
    env_options: dict[str, Any] | None = None,
    check_environment: bool = True,
    **hyperparameters: Any,
) -> TrainFunction:
    """The pure function underneath `jaxmac.train`, for one member.

    With `train` the result, `jax.vmap(train)(keys)` trains one seed per key, and
    `jax.vmap(train, in_axes=(None, 0))(key, {"gamma": values})` one member per value of a traced hyperparameter;
    both can be jitted and sharded. Nothing is printed or written, and a loss that is not finite shows in the
    metrics only. The arguments that are not listed are those of `jaxmac.train`.

    Args:
        episodes: training episodes, rounded up to whole iterations of `num_envs`.

    Raises ValueError, in one line, for anything unknown or out of range.
    """
    environment = environment_of(env, env_options)
    check_positive("episodes", episodes)
    check_switch("check_environment", check_environment)
    config = configure(algorithm, preset, environment, hyperparameters)
    check_size(config)
    check_contract(environment, check_environment)
    check_mixers(algorithm, (config,), check_environment)
    built = make_algorithm(algorithm, environment, config)
    refuse_taken_names(algorithm, built.diagnostics, settings_of(type(config)))
    check_counts(environment, config, built.collection, len(built.streams), episodes)
    steps = most_steps(environment, config, len(built.streams), episodes)
    if steps > LARGEST_COUNT:
        raise ValueError(
            f"episodes is {episodes}, which counts up to {steps:,} primitive steps, but a pure function counts "
            f"{LARGEST_COUNT:,} at most; jaxmac.train has no such limit"
        )
    return TrainFunction(environment, config, built, episodes)
