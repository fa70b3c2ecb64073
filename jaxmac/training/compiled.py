"""The pure functions of training: initialisation, iterations (collect, store, update) and evaluation.

They are written for a single member. `OverMembers` adds the axis of members (seeds x swept values), which only this
package knows. The iteration counter is an unbatched argument: with a batched one `lax.cond` would run both
branches. Keys come from `fold_in(member_key, iteration)`: no generator state is stored, and any chunking or
sharding of the same members gives the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from jaxmac.algorithms.base import Algorithm, Collection, Progress
from jaxmac.envs.environment import Environment
from jaxmac.hyper import Hyper
from jaxmac.record.episode import Episode, discounted_return
from jaxmac.record.policy import Policy
from jaxmac.record.replay import Sample
from jaxmac.record.rollout import rollout, rollout_to_end

EVALUATION = 0x7FFFFFFF  # folded into a member's key: evaluation draws share nothing with training
INIT = 0x7FFFFFFE
LARGEST_INT = jnp.iinfo(jnp.int32).max


class Tally(struct.PyTreeNode):
    """Sums and counts since the last evaluation, one of each per member."""

    env_steps: Array  # primitive steps, int32
    return_sum: Array  # undiscounted returns of the training episodes
    episodes: Array  # training episodes, int32
    loss_sum: Array  # losses of the updates
    updates: Array  # gradient updates, int32
    epsilon: Array  # mean over the parallel episodes of the last iteration, at the start of the first one
    dropped_rows: Array  # rows that a cap left out, int32; no more than LARGEST_INT
    broken_update: Array  # number of the first update whose loss is not finite; -1: none
    diagnostics: dict[str, Array] = struct.field(default_factory=dict)  # sums over the updates, by name

    @classmethod
    def empty(cls, diagnostics: Sequence[str] = ()) -> Tally:
        """The tally directly after an evaluation."""
        zero, none = jnp.int32(0), jnp.float32(0)
        sums = {name: jnp.float32(0) for name in diagnostics}
        return cls(zero, none, zero, none, zero, jnp.float32(1), zero, zero - 1, sums)


class Member(struct.PyTreeNode):
    """One learner with its experience: everything that training carries from iteration to iteration."""

    learner: Any  # the algorithm's LearnerState
    replay: dict[str, Any]  # one storage per stream
    tally: Tally
    best: Any  # the learner at its best evaluation
    best_return: Array  # its evaluation return


class Evaluation(NamedTuple):
    """Means over the evaluation episodes of one member."""

    eval_return: Float[Array, ""]  # undiscounted return
    eval_discounted_return: Float[Array, ""]  # return discounted with the member's gamma
    eval_length: Float[Array, ""]  # primitive steps
    eval_success: Float[Array, ""] | None = None  # share of episodes; None where success is not defined


class OverMembers(NamedTuple):
    """How functions of one member become functions of all members.

    Attributes:
        vectorised: `(function, in_axes) -> function` of all members at once, for light work: acting, storing,
            sampling.
        one_by_one: `(function, *arguments) -> results` of all members, for heavy work: updates.
    """

    vectorised: Callable[..., Callable]
    one_by_one: Callable[..., Any]


SINGLE = OverMembers(lambda function, in_axes=0: function, lambda function, *arguments: function(*arguments))
"""No axis of members: for `jaxmac.make_train`, which the caller can vmap."""


def for_each_member(function: Callable, *arguments: Any) -> Any:
    """`function` mapped over the leading axis of members: vectorised on an accelerator, one by one on a CPU.

    On a CPU one member's update keeps a core busy, and its working set stays in the cache.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda given: function(*given), arguments)
    return jax.vmap(function)(*arguments)


MEMBERS = OverMembers(lambda function, in_axes=0: jax.vmap(function, in_axes=in_axes), for_each_member)


def _two_keys(number: Array, key: Array) -> tuple[Array, Array]:
    """Two keys of the iteration or update with this number."""
    first, second = jax.random.split(jax.random.fold_in(key, number))
    return first, second


class TrainingFunctions(NamedTuple):
    """The functions of a run.

    init: (key, hyper) -> member
    advance: (members, keys, hyper, first iteration, last iteration) -> members; iterations first..last - 1
    evaluate: (member, key, hyper, iteration) -> (Evaluation, Tally, member with an empty tally)

    `init` and `evaluate` take one member; `advance` takes one or all members, depending on the `OverMembers`.
    """

    init: Callable[[Array, Hyper], Member]
    advance: Callable[[Member, Array, Hyper, Array, Array], Member]
    evaluate: Callable[[Member, Array, Hyper, Array], tuple[Evaluation, Tally, Member]]


def progress_at(collection: Collection, num_envs: int, iteration: Int[Array, ""] | int) -> Progress:
    """Progress at the start of an iteration, which follows from the number of the iteration alone."""
    iteration = jnp.asarray(iteration, jnp.int32)
    learning = jnp.maximum(iteration - collection.warmup_iterations, 0)
    return Progress(iteration, iteration * num_envs, learning * collection.updates)


def evaluate_episodes(
    env: Environment, policy: Policy, key: Array, episodes: int, discount: Array, epsilon: Array
) -> Evaluation:
    """Means over `episodes` episodes with exploration rate `epsilon`; `discount` per step."""
    played, ends = rollout_to_end(env, policy, key, jnp.full(episodes, epsilon, jnp.float32))
    success = jax.vmap(env.success)(ends.physics)
    return Evaluation(
        jnp.mean(played.undiscounted_return),
        jnp.mean(discounted_return(played, discount)),
        jnp.mean(played.length.astype(jnp.float32)),
        None if success is None else jnp.mean(success.astype(jnp.float32)),
    )


def example_episode(env: Environment, policy: Policy) -> Episode:
    """An episode of zeros with the shapes and dtypes of stored episodes."""
    shapes = jax.eval_shape(lambda key: rollout(env, policy, key, jnp.zeros(1, jnp.float32)), jax.random.key(0))
    return jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), shapes)


def training_functions(
    env: Environment, algorithm: Algorithm, config: Any, over: OverMembers = SINGLE
) -> TrainingFunctions:
    """Build the functions of a run; `config` may be its static view."""
    replay, num_envs = algorithm.collection.replay, config.num_envs

    def init(key: Array, hyper: Hyper) -> Member:
        learner = algorithm.init(jax.random.fold_in(key, INIT), hyper)
        example = example_episode(env, algorithm.evaluation(learner, hyper))
        storage = {stream: replay.init(example) for stream in algorithm.streams}
        best = jax.tree.map(jnp.copy, learner), jnp.float32(-jnp.inf)
        first = algorithm.collection.epsilon(hyper, progress_at(algorithm.collection, num_envs, 0))
        tally = Tally.empty(algorithm.diagnostics).replace(epsilon=jnp.mean(first))
        return Member(learner, storage, tally, *best)

    def advance(members: Member, keys: Array, hyper: Hyper, first: Array, last: Array) -> Member:
        def body(iteration: Array, members: Member) -> Member:
            progress = progress_at(algorithm.collection, num_envs, iteration)
            collect_keys, learn_keys = over.vectorised(partial(_two_keys, iteration))(keys)
            collect = over.vectorised(partial(_collect, env, algorithm, num_envs), in_axes=(0, 0, 0, None))
            members = collect(members, collect_keys, hyper, progress)
            return _learn(algorithm, num_envs, over, members, learn_keys, hyper, progress)

        return jax.lax.fori_loop(first, last, body, members)

    def evaluate(member: Member, key: Array, hyper: Hyper, iteration: Array) -> tuple[Evaluation, Tally, Member]:
        key = jax.random.fold_in(jax.random.fold_in(key, EVALUATION), iteration)
        policy = algorithm.evaluation(member.learner, hyper)
        means = evaluate_episodes(env, policy, key, config.eval_episodes, hyper.gamma, hyper.eval_epsilon)
        better = means.eval_return > member.best_return
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), member.learner, member.best)
        best_return = jnp.where(better, means.eval_return, member.best_return)  # an evaluation may be NaN
        after = member.replace(tally=Tally.empty(algorithm.diagnostics), best=best, best_return=best_return)
        return means, member.tally, after

    return TrainingFunctions(init, advance, evaluate)


def _collect(
    env: Environment,
    algorithm: Algorithm,
    num_envs: int,
    member: Member,
    key: Array,
    hyper: Hyper,
    progress: Progress,
) -> Member:
    """Collect and store `num_envs` episodes per stream for one member."""
    collection = algorithm.collection
    epsilon = collection.epsilon(hyper, progress)
    tally, storage = member.tally, dict(member.replay)
    for index, stream in enumerate(algorithm.streams):
        policy = algorithm.behaviour(member.learner, hyper, stream)
        each = jnp.tile(epsilon, collection.episodes_per_env)
        episodes = rollout(env, policy, jax.random.fold_in(key, index), each)
        if collection.episodes_per_env > 1:
            episodes = first_finished(episodes, num_envs)
        storage[stream] = collection.replay.add(storage[stream], episodes)
        tally = tally.replace(
            env_steps=tally.env_steps + jnp.sum(episodes.length, dtype=jnp.int32),
            return_sum=tally.return_sum + jnp.sum(episodes.undiscounted_return),
            episodes=tally.episodes + num_envs,
        )
    return member.replace(replay=storage, tally=tally.replace(epsilon=jnp.mean(epsilon)))


def first_finished(episodes: Episode, workers: int) -> Episode:
    """The `workers` episodes that finish first, in the order of their end.

    `episodes` are `[turns * workers, ...]`; each worker plays its `turns` episodes one after the other without a
    pause.
    """
    lengths = episodes.length.reshape(-1, workers)
    end = jnp.cumsum(lengths, axis=0).reshape(-1)
    first = jnp.argsort(end)[:workers]
    return jax.tree.map(lambda x: x[first], episodes)


def _learn(
    algorithm: Algorithm,
    num_envs: int,
    over: OverMembers,
    members: Member,
    keys: Array,
    hyper: Hyper,
    progress: Progress,
) -> Member:
    """The updates of an iteration for all members, once enough episodes are stored."""
    collection = algorithm.collection
    replay = collection.replay

    def sample(storage: dict[str, Any], key: Array) -> dict[str, Sample]:
        streams = enumerate(algorithm.streams)
        return {stream: replay.sample(jax.random.fold_in(key, i), storage[stream]) for i, stream in streams}

    def feed_back(storage: dict[str, Any], samples: dict[str, Sample], errors: dict[str, Array]) -> dict[str, Any]:
        assert replay.feedback is not None
        return {s: replay.feedback(storage[s], samples[s].index, errors[s]) for s in algorithm.streams}

    # A replay without feedback is not written to here, so it stays out of the loop's carry, which would copy it.
    fixed = members.replay if replay.feedback is None else None

    def one_update(number: Array, learned: tuple[Any, Tally, Any]) -> tuple[Any, Tally, Any]:
        learner, tally, storage = learned
        sample_keys, update_keys = over.vectorised(partial(_two_keys, number))(keys)
        samples = over.vectorised(sample)(storage if fixed is None else fixed, sample_keys)
        now = progress._replace(episodes=progress.episodes + num_envs, updates=progress.updates + number)
        update = partial(_update, algorithm, now)
        learner, tally, errors = over.one_by_one(update, learner, tally, hyper, samples, update_keys)
        if fixed is None:
            storage = over.vectorised(feed_back)(storage, samples, errors)
        return learner, tally, storage

    learner, tally, storage = jax.lax.cond(
        progress.iteration >= collection.warmup_iterations,
        lambda learned: jax.lax.fori_loop(0, collection.updates, one_update, learned),
        lambda learned: learned,
        (members.learner, members.tally, None if fixed is not None else members.replay),
    )
    return members.replace(learner=learner, tally=tally, replay=members.replay if fixed is not None else storage)


def _update(
    algorithm: Algorithm, now: Progress, learner: Any, tally: Tally, hyper: Hyper, samples: Any, key: Array
) -> tuple[Any, Tally, dict[str, Array]]:
    """One member's update; returns the learner, the tally and the errors for the sampler's `feedback`."""
    learner, metrics = algorithm.update(learner, hyper, samples, now, key)
    broken = ~jnp.isfinite(metrics["loss"]) & (tally.broken_update < 0)
    dropped = jnp.asarray(metrics.get("dropped_rows", 0), jnp.int32)
    tally = tally.replace(
        loss_sum=tally.loss_sum + metrics["loss"],
        updates=tally.updates + 1,
        dropped_rows=jnp.minimum(tally.dropped_rows, LARGEST_INT - dropped) + dropped,
        broken_update=jnp.where(broken, now.updates + 1, tally.broken_update),
        diagnostics={
            name: total + jnp.asarray(metrics[name], jnp.float32) for name, total in tally.diagnostics.items()
        },
    )
    errors = metrics.get("errors", {}) if algorithm.collection.replay.feedback is not None else {}
    return learner, tally, errors
