"""One compiled program: a group of members that agree on every static hyperparameter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmac.algorithms import entry
from jaxmac.config import hyper_arrays
from jaxmac.envs.environment import Environment
from jaxmac.processes.collective import gather, place
from jaxmac.runs.members import MemberSpec
from jaxmac.training.compiled import (
    Trainer,
    make_trainer,
    members_mesh,
    put_members,
)
from jaxmac.training.memory import SLACK, tree_bytes, working_bytes


class Footprint(NamedTuple):
    """Estimated bytes: of all members together, of one member's replay, and of the learners on disk."""

    total: int
    replay: int
    learners: int


class Program:
    """The members of one group on their devices, and the functions that move them on.

    The number of members is padded to the devices; a padded member is computed and never reported.
    """

    def __init__(self, algorithm: str, env: Environment, members: list[MemberSpec], devices: list[Any] | None):
        self.env, self.specs, self.config = env, members, members[0].config
        self.mesh = members_mesh(len(members), devices)
        self.algorithm = entry(algorithm).make(env, self.config)
        self.trainer: Trainer = make_trainer(env, self.algorithm, self.config, self.mesh)
        shards = 1 if self.mesh is None else self.mesh.size
        padded = members + [members[-1]] * (-len(members) % shards)
        self.padded = len(padded)
        self.share = 1.0 if self.mesh is None else len(self.mesh.local_devices) / self.mesh.size  # of this process
        self.hyper = put_members(hyper_arrays([member.config for member in padded]), self.mesh)
        seeds = put_members(np.asarray([member.seed for member in padded], np.uint32), self.mesh)
        self.keys = jax.jit(jax.vmap(jax.random.key))(seeds)
        self.updates = np.zeros(len(members), np.int64)
        self.env_steps = np.zeros(len(members), np.int64)
        self.seconds = 0.0
        self.done = 0  # iterations
        self.evaluated = -1  # iteration of the last evaluation

    def footprint(self) -> Footprint:
        """Memory this group will need, from shapes alone."""
        shapes = jax.eval_shape(self.trainer.init, self.keys, self.hyper)
        replay = tree_bytes(shapes.replay) // self.padded
        episode_bytes = replay // (self.algorithm.collection.replay.capacity * len(self.algorithm.streams))
        working = self.padded * working_bytes(self.env, self.config, episode_bytes, self.algorithm.joint_outputs)
        return Footprint(int(SLACK * (tree_bytes(shapes) + working)), replay, tree_bytes(shapes.learner))

    def compile(self) -> float:
        """Compile and initialise; returns the seconds it took."""
        began = time.perf_counter()
        # It runs once: not worth optimising, and its many random draws are slow to compile.
        init = self.trainer.init.lower(self.keys, self.hyper).compile({"xla_backend_optimization_level": 0})
        self.members = init(self.keys, self.hyper)
        zero = jnp.int32(0)
        self._advance = self.trainer.advance.lower(self.members, self.keys, self.hyper, zero, zero).compile()
        self._evaluate = self.trainer.evaluate.lower(self.members, self.keys, self.hyper, zero).compile()
        jax.block_until_ready(self.members)
        return time.perf_counter() - began

    def advance(self, first: int, last: int, chunk: int, then: Callable[[int], None] = lambda done: None) -> None:
        """Iterations first..last - 1, `chunk` at a time; `then` is told how many are done after each."""
        for start in range(first, last, chunk):
            began = time.perf_counter()
            end = min(start + chunk, last)
            self.members = self._advance(self.members, self.keys, self.hyper, jnp.int32(start), jnp.int32(end))
            jax.block_until_ready(self.members)
            self.seconds += time.perf_counter() - began
            self.done = end
            then(end)

    def evaluate(self, iteration: int) -> list[dict[str, Any]]:
        """Evaluate now; one metrics row per real member."""
        began = time.perf_counter()
        means, tally, self.members = self._evaluate(self.members, self.keys, self.hyper, jnp.int32(iteration))
        means, tally = gather((means, tally))
        self.seconds += time.perf_counter() - began
        self.evaluated = iteration
        count = len(self.specs)
        self.updates += tally.updates[:count]
        self.env_steps += tally.env_steps[:count]
        self.broken = np.asarray(tally.broken_update[:count])
        self.dropped = int(tally.dropped_rows[:count].sum())
        return [self._row(i, iteration, means, tally) for i in range(count)]

    def _row(self, i: int, iteration: int, means: Any, tally: Any) -> dict[str, Any]:
        spec, nan = self.specs[i], float("nan")
        return {
            "member": spec.index,
            "seed": spec.seed,
            "episodes": iteration * self.config.num_envs,
            "env_steps": int(self.env_steps[i]),
            "updates": int(self.updates[i]),
            "wall_seconds": self.seconds,
            "eval_return": float(means.eval_return[i]),
            "eval_discounted_return": float(means.eval_discounted_return[i]),
            "eval_length": float(means.eval_length[i]),
            "train_return": float(tally.return_sum[i] / tally.episodes[i]) if tally.episodes[i] else nan,
            "loss": float(tally.loss_sum[i] / tally.updates[i]) if tally.updates[i] else nan,
            "epsilon": float(tally.epsilon[i]),
            **spec.swept,
        }

    def snapshot(self, replay: bool) -> dict[str, Any] | None:
        """The items of a checkpoint of the real members, on the host; None if there is nothing whole to write.

        With the replay they are on process 0 alone, None on others.
        """
        members = self.__dict__.get("members")
        if members is None or any(leaf.is_deleted() for leaf in jax.tree.leaves(members)):
            return None
        kept = members if replay else members.replace(replay=None)
        kept = gather(kept, to_all=not replay)
        if kept is None:
            return None
        kept = jax.tree.map(lambda x: x[: len(self.specs)], kept)
        items = {"learners": kept.learner, "best": kept.best}
        if replay:
            state = {"replay": kept.replay, "tally": kept.tally, "best_return": kept.best_return}
            items["state"] = state | {"counters": self._counters()}
        return items

    def _counters(self) -> dict[str, np.ndarray]:
        numbers = {"done": self.done, "evaluated": self.evaluated}
        numbers |= {"updates": self.updates, "env_steps": self.env_steps}
        numbers = {name: np.asarray(value, np.int32) for name, value in numbers.items()}
        return numbers | {"seconds": np.asarray(self.seconds, np.float32)}

    def shapes(self) -> dict[str, Any]:
        """Shapes and dtypes of the items of a checkpoint."""
        members = jax.eval_shape(self.trainer.init, self.keys, self.hyper)
        count = len(self.specs)
        members = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), members)
        counters = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self._counters())
        state = {"replay": members.replay, "tally": members.tally, "best_return": members.best_return}
        return {"learners": members.learner, "best": members.best, "state": state | {"counters": counters}}

    def restore(self, items: dict[str, Any]) -> None:
        """Put the items of a checkpoint back; call after `compile`."""
        state = items["state"]
        whole = self.members.replace(
            learner=items["learners"],
            best=items["best"],
            **{name: state[name] for name in ("replay", "tally", "best_return")},
        )
        extra = self.padded - len(self.specs)  # padded members are copies of the last one

        def placed(held: jax.Array, x: Any) -> jax.Array:
            x = np.asarray(x)
            return place(np.concatenate([x, *[x[-1:]] * extra]), held.sharding)

        self.members = jax.tree.map(placed, self.members, whole)
        counters = jax.tree.map(np.asarray, state["counters"])
        self.done, self.evaluated = int(counters["done"]), int(counters["evaluated"])
        self.updates, self.env_steps = (counters[name].astype(np.int64) for name in ("updates", "env_steps"))
        self.seconds = float(counters["seconds"])

    def finish(self) -> Any:
        """Learner states of the real members, on the host; the devices are cleared. None if there are none."""
        items = self.snapshot(replay=False)
        self.__dict__.pop("members", None)
        return None if items is None else items["learners"]

    @property
    def first_learning_iteration(self) -> int:
        """Iteration of the first update."""
        return self.algorithm.collection.waits
