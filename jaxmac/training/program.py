"""One compiled program: it trains a group of members whose static hyperparameters are all equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxmac.envs.environment import Environment
from jaxmac.hyper import hyper_arrays
from jaxmac.processes.collective import gather, place
from jaxmac.runs.members import MemberSpec
from jaxmac.training.cache import trouble_in_a_line
from jaxmac.training.compilation import collection_paused, compiled
from jaxmac.training.compiled import Member, Tally
from jaxmac.training.member_functions import member_functions, members_mesh
from jaxmac.training.memory import (
    SLACK,
    CompiledBytes,
    compiled_bytes,
    refuse_if_scratch_is_too_large,
    tree_bytes,
    working_bytes,
)


class Footprint(NamedTuple):
    """Estimated bytes of a program."""

    total: int  # all members together
    replay: int  # the replay of one member
    learners: int  # the learners of all members on disk


class Reached(NamedTuple):
    """What a group has reached. It is replaced as a whole: an interruption leaves the old one or the new one."""

    members: Any  # arrays on the devices, `[members, ...]`; None before `compile` and after `finish`
    updates: np.ndarray  # int64 [members]
    env_steps: np.ndarray  # int64 [members]
    broken: np.ndarray  # int64 [members]: the first update with a loss that is not finite, or -1
    done: int = 0  # iterations
    evaluated: int = -1  # iteration of the last evaluation
    seconds: float = 0.0  # wall time without compiling
    unwritten: tuple[dict[str, Any], ...] = ()  # rows of the last evaluation that are not in metrics.csv yet


def _members_sharding(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec("members"))


def put_members(tree: Any, mesh: Mesh | None) -> Any:
    """Place arrays with a leading axis of members on the devices of `mesh`."""
    if mesh is None:
        return tree
    return jax.tree.map(partial(place, sharding=_members_sharding(mesh)), tree)


def _shapes_on(shapes: Any, mesh: Mesh | None) -> Any:
    """Shapes of arrays that `put_members` would place on `mesh`."""
    sharding = None if mesh is None else _members_sharding(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def _is_whole(members: Any) -> bool:
    """Whether all arrays of the members exist; a chunk or an evaluation that is interrupted has taken them."""
    return members is not None and not any(leaf.is_deleted() for leaf in jax.tree.leaves(members))


def _stored_state(members: Member) -> dict[str, Any]:
    """What a checkpoint has of the members beside learners; without diagnostics it has no entry for them."""
    tally = {name: value for name, value in vars(members.tally).items() if name != "diagnostics" or value}
    return {"replay": members.replay, "tally": tally, "best_return": members.best_return}


class Program:
    """The members of one group on their devices, and the compiled functions that train them.

    The number of members is padded to a multiple of the devices; a padded member is computed but never reported.
    `key_type` is the type of the members' keys, None for `jax_default_prng_impl`; `diagnostics` are those of the
    algorithm's that are reported, None for all.
    """

    def __init__(
        self,
        algorithm: str,
        env: Environment,
        members: list[MemberSpec],
        devices: list[Any] | None = None,
        env_id: str | None = None,
        key_type: str | None = None,
        diagnostics: Sequence[str] | None = None,
    ):
        self.env, self.specs, self.config = env, members, members[0].config
        self.mesh = members_mesh(len(members), devices)
        self.functions = member_functions(algorithm, env, self.config, self.mesh, env_id, diagnostics)
        self.algorithm = self.functions.algorithm
        shards = 1 if self.mesh is None else self.mesh.size
        padded = members + [members[-1]] * (-len(members) % shards)
        self.padded = len(padded)
        self.share = 1.0 if self.mesh is None else len(self.mesh.local_devices) / self.mesh.size  # of this process
        self.hyper = put_members(hyper_arrays([member.config for member in padded]), self.mesh)
        seeds = put_members(np.asarray([member.seed for member in padded], np.uint32), self.mesh)
        self.keys = _keys(seeds, key_type or jax.config.jax_default_prng_impl)  # type: ignore[attr-defined]
        nothing = np.zeros(len(members), np.int64)
        self.reached = Reached(None, nothing, nothing, nothing - 1)
        self.compiled = CompiledBytes(0, 0)  # XLA's figures, once `compile` has run

    def footprint(self) -> Footprint:
        """The memory that this group will need, estimated from shapes alone."""
        shapes = jax.eval_shape(self.functions.init, self.keys, self.hyper)
        replay = tree_bytes(shapes.replay) // self.padded
        storage = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), shapes.replay)
        sample = self.algorithm.collection.replay.sample  # gives episodes as they are recorded
        batch = jax.eval_shape(sample, jax.eval_shape(jax.random.key, 0), storage[self.algorithm.streams[0]])
        episode_bytes = tree_bytes(batch.episodes) // batch.weight.size
        working = self.padded * working_bytes(self.env, self.config, episode_bytes, self.algorithm.joint_outputs)
        return Footprint(int(SLACK * (tree_bytes(shapes) + working)), replay, tree_bytes(shapes.learner))

    @trouble_in_a_line()
    def compile(self) -> float:
        """Compile the functions and initialise the members; returns the seconds that it took.

        With `jax_disable_jit` they run as Python. Raises MemoryError if XLA needs more scratch memory than is free.
        """
        began = time.perf_counter()
        self._advance: Callable[..., Any] = self.functions.advance
        self._evaluate: Callable[..., Any] = self.functions.evaluate
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            self.reached = self.reached._replace(members=self.functions.init(self.keys, self.hyper))
            return time.perf_counter() - began
        # The iterations take longest: they are compiled while the evaluation, which is short, is still traced.
        with ThreadPoolExecutor(2) as threads, collection_paused():
            init = self.functions.init.lower(self.keys, self.hyper)
            coming = threads.submit(lambda: compiled(init, once=True)(self.keys, self.hyper))
            arguments = _shapes_on(init.out_info, self.mesh), self.keys, self.hyper, jnp.int32(0)
            longest = threads.submit(compiled, self.functions.advance.lower(*arguments, jnp.int32(0)))
            evaluate = compiled(self.functions.evaluate.lower(*arguments))
            advance, members = longest.result(), coming.result()
        self.compiled = compiled_bytes(advance, evaluate)
        devices = 1 if self.mesh is None else len(self.mesh.local_devices)
        refuse_if_scratch_is_too_large(self.compiled.scratch * devices, self.padded, self.config)
        self._advance, self._evaluate = advance, evaluate
        self.reached = self.reached._replace(members=jax.block_until_ready(members))
        return time.perf_counter() - began

    def advance(self, first: int, last: int, chunk: int, then: Callable[[int], None] = lambda done: None) -> None:
        """Run the iterations first to last - 1, `chunk` at a time; call `then(iterations done)` after each."""
        for start in range(first, last, chunk):
            began = time.perf_counter()
            end = min(start + chunk, last)
            before = self.reached
            members = self._advance(before.members, self.keys, self.hyper, jnp.int32(start), jnp.int32(end))
            jax.block_until_ready(members)
            seconds = before.seconds + time.perf_counter() - began
            self.reached = before._replace(members=members, done=end, seconds=seconds)
            then(end)

    def evaluate(self, iteration: int) -> list[dict[str, Any]]:
        """Evaluate all members now and return one row of metrics for each real member.

        The rows count as unwritten until `mark_written`.
        """
        began, before = time.perf_counter(), self.reached
        means, tally, members = self._evaluate(before.members, self.keys, self.hyper, jnp.int32(iteration))
        means, tally = gather((means, tally))
        count = len(self.specs)
        self.dropped = int(tally.dropped_rows[:count].sum())
        reached = before._replace(
            members=members,
            updates=before.updates + tally.updates[:count],
            env_steps=before.env_steps + tally.env_steps[:count],
            broken=np.asarray(tally.broken_update[:count], np.int64),
            evaluated=iteration,
            seconds=before.seconds + time.perf_counter() - began,
        )
        rows = [self._row(reached, i, means, tally) for i in range(count)]
        self.reached = reached._replace(unwritten=tuple(rows))
        return rows

    def mark_written(self) -> None:
        """Note that metrics.csv holds the rows of the last evaluation, so that a checkpoint may say so."""
        self.reached = self.reached._replace(unwritten=())

    def _row(self, reached: Reached, i: int, means: Any, tally: Any) -> dict[str, Any]:
        spec, nan = self.specs[i], float("nan")

        def of_updates(total: Any) -> float:
            return float(total[i] / tally.updates[i]) if tally.updates[i] else nan

        return {
            "member": spec.index,
            "seed": spec.seed,
            "episodes": reached.evaluated * self.config.num_envs,
            "env_steps": int(reached.env_steps[i]),
            "updates": int(reached.updates[i]),
            "wall_seconds": reached.seconds,
            "eval_return": float(means.eval_return[i]),
            "eval_discounted_return": float(means.eval_discounted_return[i]),
            "eval_length": float(means.eval_length[i]),
            "eval_success": nan if means.eval_success is None else float(means.eval_success[i]),
            "train_return": float(tally.return_sum[i] / tally.episodes[i]) if tally.episodes[i] else nan,
            "loss": of_updates(tally.loss_sum),
            "epsilon": float(tally.epsilon[i]),
            **{name: of_updates(total) for name, total in tally.diagnostics.items()},
            **spec.swept,
        }

    def is_healthy(self) -> bool:
        """Whether the members are whole on their devices, every loss so far was finite, and all rows are written.

        Only then a checkpoint may be made of them. They are not whole before `compile` and in an interrupted chunk.
        """
        members = self.reached.members
        if self.reached.unwritten or not _is_whole(members) or (self.reached.broken >= 0).any():
            return False
        return bool((gather(members.tally.broken_update)[: len(self.specs)] < 0).all())

    def snapshot(self, replay: bool) -> dict[str, Any] | None:
        """The items of a checkpoint of the real members, on the host; None if they are not whole.

        With `replay` the items are gathered on process 0 only, and the other processes get None.
        """
        members = self.reached.members
        if not _is_whole(members):
            return None
        kept = members if replay else members.replace(replay=None)
        kept = gather(kept, to_all=not replay)
        if kept is None:
            return None
        kept = jax.tree.map(lambda x: x[: len(self.specs)], kept)
        items = {"learners": kept.learner, "best": kept.best}
        if replay:
            items["state"] = _stored_state(kept)
        return items

    def counters(self) -> dict[str, Any]:
        """The counters of a checkpoint: numbers and lists of numbers by name."""
        reached = self.reached
        exact = {"updates": reached.updates.tolist(), "env_steps": reached.env_steps.tolist()}
        return {"done": reached.done, "evaluated": reached.evaluated, **exact, "seconds": reached.seconds}

    def shapes(self) -> dict[str, Any]:
        """The shapes and dtypes of the items of a checkpoint."""
        members = jax.eval_shape(self.functions.init, self.keys, self.hyper)
        count = len(self.specs)
        members = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), members)
        return {"learners": members.learner, "best": members.best, "state": _stored_state(members)}

    def restore(self, read: Callable[[], dict[str, Any]], counters: dict[str, Any]) -> None:
        """Continue from the counters and the items of a checkpoint, which `read` gives; call it after `compile`.

        The members that `compile` has made are released first, so that no third replay is in memory beside the one
        that is read and the one that it becomes.
        """
        members = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), self.members)
        for leaf in jax.tree.leaves(self.members):
            leaf.delete()
        items = read()
        state = items["state"]
        whole = members.replace(
            learner=items["learners"],
            best=items["best"],
            replay=state["replay"],
            tally=Tally(**state["tally"]),
            best_return=state["best_return"],
        )
        extra = self.padded - len(self.specs)  # padded members are copies of the last one

        def placed(current: jax.ShapeDtypeStruct, x: Any) -> jax.Array:
            x = np.asarray(x)
            return place(np.concatenate([x, *[x[-1:]] * extra]), current.sharding)

        self.reached = self.reached._replace(
            members=jax.tree.map(placed, members, whole),
            updates=np.asarray(counters["updates"], np.int64),
            env_steps=np.asarray(counters["env_steps"], np.int64),
            done=int(counters["done"]),
            evaluated=int(counters["evaluated"]),
            seconds=float(counters["seconds"]),
        )

    def finish(self) -> Any:
        """The learner states of the real members, on the host, or None if not whole; frees the devices' memory."""
        items = self.snapshot(replay=False)
        self.reached = self.reached._replace(members=None)
        return None if items is None else items["learners"]

    @property
    def members(self) -> Any:
        """The arrays of the members on their devices."""
        return self.reached.members

    @property
    def done(self) -> int:
        """Iterations that the members have made."""
        return self.reached.done

    @property
    def first_learning_iteration(self) -> int:
        """Iteration of the first update."""
        return self.algorithm.collection.warmup_iterations


@partial(jax.jit, static_argnums=1)
def _keys(seeds: jax.Array, key_type: str) -> jax.Array:
    """The key of each member's seed, of the given type."""
    return jax.vmap(partial(jax.random.key, impl=key_type))(seeds)
