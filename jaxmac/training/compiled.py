"""The compiled part of training: init, iterations (collect, store, update), evaluation, vmapped over members.

Members (seeds x swept values) are one outer axis that no other module sees. The step counter is an unbatched
argument, so that conditions on it stay conditions. Keys come from `fold_in(member_key, step)`: no generator state
is stored, and any chunking or sharding of the same members gives the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jaxmac.algorithms.base import Algorithm, Collection, Hyper, Progress
from jaxmac.envs.environment import Environment
from jaxmac.processes.collective import place
from jaxmac.record.episode import Episode, discounted_return
from jaxmac.record.policy import Policy
from jaxmac.record.rollout import rollout

EVALUATION = 0x7FFFFFFF  # folded into a member's key: evaluation draws share nothing with training
INIT = 0x7FFFFFFE


@struct.dataclass
class Tally:
    """What happened since the last evaluation, per member."""

    env_steps: Int[Array, ""]
    return_sum: Float[Array, ""]
    episodes: Int[Array, ""]
    loss_sum: Float[Array, ""]
    updates: Int[Array, ""]
    epsilon: Float[Array, ""]  # mean over the parallel episodes of the last iteration
    dropped_rows: Int[Array, ""]
    broken_update: Int[Array, ""]  # number of the first update with a loss that is not finite, -1: none

    @classmethod
    def empty(cls) -> Tally:
        """Nothing yet."""
        zero, none = jnp.zeros((), jnp.int32), jnp.zeros(())
        return cls(zero, none, zero, none, zero, jnp.ones(()), zero, zero - 1)


@struct.dataclass
class Member:
    """One learner with its experience; everything training carries from iteration to iteration."""

    learner: Any
    replay: dict[str, Any]  # one storage per stream
    tally: Tally
    best: Any  # the learner at its best evaluation
    best_return: Float[Array, ""]


class Evaluation(NamedTuple):
    """Means over the evaluation episodes of one member."""

    eval_return: Float[Array, ""]
    eval_discounted_return: Float[Array, ""]
    eval_length: Float[Array, ""]


class Trainer(NamedTuple):
    """The compiled-to-be functions of a run, all with a leading axis of members (`progress` excepted).

    init: (keys [members], hyper) -> members
    advance: (members, keys, hyper, first iteration, last iteration) -> members; iterations first..last - 1
    evaluate: (members, keys, hyper, iteration) -> (Evaluation, Tally, members with an empty tally)
    """

    init: Callable[..., Member]
    advance: Callable[..., Member]
    evaluate: Callable[..., tuple[Evaluation, Tally, Member]]


def progress_at(collection: Collection, num_envs: int, iteration: Array) -> Progress:
    """Progress at the start of an iteration, a pure function of its number."""
    iteration = jnp.asarray(iteration, jnp.int32)
    learning = jnp.maximum(iteration - collection.waits, 0)
    return Progress(iteration, iteration * num_envs, learning * collection.updates)


def episode_means(env: Environment, policy: Policy, key: Array, episodes: int, discount: Array) -> Evaluation:
    """Mean returns and length of `episodes` episodes without exploration."""
    played = rollout(env, policy, key, jnp.zeros(episodes))
    return Evaluation(
        jnp.mean(played.undiscounted_return),
        jnp.mean(discounted_return(played, discount)),
        jnp.mean(played.length.astype(jnp.float32)),
    )


def example_episode(env: Environment, policy: Policy) -> Episode:
    """Zeros of the shape and dtype of one stored episode."""
    shapes = jax.eval_shape(lambda key: rollout(env, policy, key, jnp.zeros(1)), jax.random.key(0))
    return jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), shapes)


def make_trainer(env: Environment, algorithm: Algorithm, config: Any, mesh: Mesh | None = None) -> Trainer:
    """Build the functions of a run; with `mesh` (axis "members") members are sharded over its devices."""
    replay = algorithm.collection.replay

    def init(key: Array, hyper: Hyper) -> Member:
        learner = algorithm.init(jax.random.fold_in(key, INIT), hyper)
        example = example_episode(env, algorithm.evaluation(learner, hyper))
        storage = {stream: replay.init(example) for stream in algorithm.streams}
        best = jax.tree.map(jnp.copy, learner), jnp.float32(-jnp.inf)
        return Member(learner, storage, Tally.empty(), *best)

    def advance(members: Member, keys: Array, hyper: Hyper, first: Array, last: Array) -> Member:
        def body(iteration: Array, members: Member) -> Member:
            progress = progress_at(algorithm.collection, config.num_envs, iteration)
            turn = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, iteration)))(keys)
            collect = partial(_collect, env, algorithm, config.num_envs)
            members = jax.vmap(collect, in_axes=(0, 0, 0, None))(members, turn[:, 0], hyper, progress)
            return _learn(algorithm, config.num_envs, members, turn[:, 1], hyper, progress)

        return jax.lax.fori_loop(first, last, body, members)

    def evaluate(member: Member, key: Array, hyper: Hyper, iteration: Array) -> tuple[Evaluation, Tally, Member]:
        key = jax.random.fold_in(jax.random.fold_in(key, EVALUATION), iteration)
        policy = algorithm.evaluation(member.learner, hyper)
        means = episode_means(env, policy, key, config.eval_episodes, hyper["gamma"])
        better = means.eval_return > member.best_return
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), member.learner, member.best)
        best_return = jnp.maximum(means.eval_return, member.best_return)
        after = member.replace(tally=Tally.empty(), best=best, best_return=best_return)
        return means, member.tally, after

    def over_members(function: Callable, batched: int, unbatched: int, donate: bool) -> Callable:
        if mesh is not None:
            specs = (PartitionSpec("members"),) * batched + (PartitionSpec(),) * unbatched
            function = jax.shard_map(
                function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("members"), check_vma=False
            )
        return jax.jit(function, donate_argnums=(0,) if donate else ())

    return Trainer(
        over_members(partial(for_each_member, init), 2, 0, donate=False),
        over_members(advance, 3, 2, donate=True),
        over_members(jax.vmap(evaluate, in_axes=(0, 0, 0, None)), 3, 1, donate=True),
    )


def _collect(
    env: Environment,
    algorithm: Algorithm,
    num_envs: int,
    member: Member,
    key: Array,
    hyper: Hyper,
    progress: Progress,
) -> Member:
    """One member's `num_envs` episodes per stream, played and stored."""
    epsilon, replay = algorithm.collection.epsilon(hyper, progress), algorithm.collection.replay
    tally, storage = member.tally, dict(member.replay)
    for index, stream in enumerate(algorithm.streams):
        policy = algorithm.behaviour(member.learner, hyper, stream)
        rounds = algorithm.collection.rounds
        episodes = rollout(env, policy, jax.random.fold_in(key, index), jnp.tile(epsilon, rounds))
        if rounds > 1:
            episodes = first_finished(episodes, num_envs)
        storage[stream] = replay.add(storage[stream], episodes)
        tally = tally.replace(
            env_steps=tally.env_steps + jnp.sum(episodes.length),
            return_sum=tally.return_sum + jnp.sum(episodes.undiscounted_return),
            episodes=tally.episodes + num_envs,
        )
    return member.replace(replay=storage, tally=tally.replace(epsilon=jnp.mean(epsilon)))


def first_finished(episodes: Episode, workers: int) -> Episode:
    """The `workers` episodes that finish first, in the order of their end.

    `episodes` `[rounds * workers, ...]`: each worker plays one after the other without a pause.
    """
    lengths = episodes.length.reshape(-1, workers)
    end = jnp.cumsum(lengths, axis=0).reshape(-1)
    first = jnp.argsort(end)[:workers]
    return jax.tree.map(lambda x: x[first], episodes)


def _learn(
    algorithm: Algorithm,
    num_envs: int,
    members: Member,
    keys: Array,
    hyper: Hyper,
    progress: Progress,
) -> Member:
    """This iteration's updates of all members, once enough is stored."""
    collection = algorithm.collection

    def sample(storage: dict[str, Any], key: Array) -> dict[str, Episode]:
        streams = enumerate(algorithm.streams)
        return {
            stream: collection.replay.sample(jax.random.fold_in(key, i), storage[stream]) for i, stream in streams
        }

    def one_update(number: Array, learned: tuple[Any, Tally]) -> tuple[Any, Tally]:
        turn = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, number)))(keys)
        batches = jax.vmap(sample)(members.replay, turn[:, 0])
        now = progress._replace(episodes=progress.episodes + num_envs, updates=progress.updates + number)
        update = partial(_update, algorithm, now)
        return for_each_member(update, *learned, hyper, batches, turn[:, 1])

    learner, tally = jax.lax.cond(
        progress.iteration >= collection.waits,
        lambda learned: jax.lax.fori_loop(0, collection.updates, one_update, learned),
        lambda learned: learned,
        (members.learner, members.tally),
    )
    return members.replace(learner=learner, tally=tally)


def _update(
    algorithm: Algorithm, now: Progress, learner: Any, tally: Tally, hyper: Hyper, batches: Any, key: Array
) -> tuple[Any, Tally]:
    """One member's update and what is noted of it."""
    learner, metrics = algorithm.update(learner, hyper, batches, now, key)
    broken = ~jnp.isfinite(metrics["loss"]) & (tally.broken_update < 0)
    return learner, tally.replace(
        loss_sum=tally.loss_sum + metrics["loss"],
        updates=tally.updates + 1,
        dropped_rows=tally.dropped_rows + metrics.get("dropped_rows", 0),
        broken_update=jnp.where(broken, now.updates + 1, tally.broken_update),
    )


def for_each_member(function: Callable, *arguments: Any) -> Any:
    """`function` over the leading axis of members: together on an accelerator, one by one on a CPU.

    One member's update keeps a CPU core busy, and its working set stays in the cache.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda given: function(*given), arguments)
    return jax.vmap(function)(*arguments)


def members_mesh(count: int, devices: list[Any] | None = None) -> Mesh | None:
    """A mesh with axis "members" over as many devices as are useful for `count` members; None for one.

    With several processes, all take part: the first few devices of each.
    """
    own: dict[int, list[Any]] = {}
    for device in devices or jax.devices():
        own.setdefault(device.process_index, []).append(device)
    each = 1
    while sum(len(found[:each]) for found in own.values()) < count and each < max(map(len, own.values())):
        each += 1
    chosen = [device for found in own.values() for device in found[:each]]
    return Mesh(chosen, ("members",)) if len(chosen) > 1 else None


def put_members(tree: Any, mesh: Mesh | None) -> Any:
    """Place arrays with a leading axis of members on the devices of `mesh`."""
    if mesh is None:
        return tree
    return jax.tree.map(partial(place, sharding=NamedSharding(mesh, PartitionSpec("members"))), tree)
