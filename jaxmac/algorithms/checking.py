"""Checks of the algorithms and samplers of plugins, by shapes alone, before anything compiles."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxmac.algorithms.base import Algorithm, Collection, Progress
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import kind_and_line, one_line
from jaxmac.errors import nearest
from jaxmac.hyper import hyper_of
from jaxmac.record.policy import Policy, random_policy
from jaxmac.record.replay import Replay, Sample
from jaxmac.record.rollout import rollout

REAL = (jnp.floating, jnp.integer, jnp.bool_)


def made_by(label: str, what: str, function: Callable, *arguments: Any, passes: tuple[type, ...] = ()) -> Any:
    """What `function` returns; exceptions other than those in `passes` become a ValueError of one line."""
    try:
        return function(*arguments)
    except Exception as error:
        if isinstance(error, passes):
            raise
        raise ValueError(f"{label}: its {what} raised {kind_and_line(error)}") from error


def check_algorithm(name: str, algorithm: Any, env: Environment, config: Any) -> None:
    """Raise a one-line ValueError for an `Algorithm` whose functions do not do what its docstring says."""
    label = f"algorithm {name!r}"
    if not isinstance(algorithm, Algorithm):
        raise ValueError(f"{label}: its make returned a {type(algorithm).__name__}, but must return an Algorithm")
    streams, collection = algorithm.streams, algorithm.collection
    if (
        not isinstance(streams, tuple | list)
        or not streams
        or not all(isinstance(stream, str) for stream in streams)
    ):
        raise ValueError(f"{label}: streams is {one_line(streams)}, but must be a tuple of names such as ('main',)")
    if not isinstance(collection, Collection) or not isinstance(collection.replay, Replay):
        raise ValueError(f"{label}: collection is {one_line(collection)}, but must be a Collection with a Replay")
    for count, least in (("updates", 1), ("warmup_iterations", 0), ("episodes_per_env", 1)):
        value = getattr(collection, count)
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(
                f"{label}: collection.{count} is {one_line(value)}, but must be an integer of at least {least}"
            )
    names = algorithm.diagnostics
    if (
        not isinstance(names, tuple | list)
        or not all(isinstance(name, str) and re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in names)
        or len(set(names)) < len(names)
    ):
        shown = one_line(names)
        raise ValueError(
            f"{label}: diagnostics is {shown}, but must be a tuple of different names such as ('entropy',)"
        )
    _check_functions(label, algorithm, env, config.num_envs, hyper_of(config))


def _check_functions(label: str, algorithm: Algorithm, env: Environment, num_envs: int, hyper: Any) -> None:
    """Trace every function of an algorithm once, on what the others return."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    zero = jnp.int32(0)
    progress = Progress(zero, zero, zero)
    learner = made_by(label, "init", jax.eval_shape, algorithm.init, key, hyper)
    epsilon = made_by(label, "collection.epsilon", jax.eval_shape, algorithm.collection.epsilon, hyper, progress)
    if getattr(epsilon, "shape", None) != (num_envs,):
        shape = getattr(epsilon, "shape", type(epsilon).__name__)
        raise ValueError(
            f"{label}: collection.epsilon returns shape {shape}, but must return (num_envs,) = ({num_envs},)"
        )
    samples, played = {}, None
    for stream in algorithm.streams:
        behaviour = partial(_policy, algorithm.behaviour, hyper, stream)
        played = _played(label, "behaviour", behaviour, env, num_envs, learner, key)
        samples[stream] = check_replay(label, algorithm.collection.replay, played)
    _played(label, "evaluation", partial(_policy, algorithm.evaluation, hyper), env, 1, learner, key)
    update = made_by(label, "update", jax.eval_shape, algorithm.update, learner, hyper, samples, progress, key)
    _check_update(label, algorithm, update, learner, samples)


def _policy(function: Callable, hyper: Any, *rest: Any) -> Any:
    """A function of the learner alone; the last argument is the learner."""
    *stream, learner = rest
    return function(learner, hyper, *stream)


def _played(
    label: str, what: str, policy_of: Callable[[Any], Any], env: Environment, number: int, learner: Any, key: Any
) -> Any:
    """The shapes of episodes that a policy plays."""
    made: list[Any] = []
    made_by(label, what, jax.eval_shape, lambda learner: made.append(policy_of(learner)), learner)
    if not isinstance(made[0], Policy):
        raise ValueError(f"{label}: its {what} returned a {type(made[0]).__name__}, but must return a Policy")

    def play(learner: Any, key: Any) -> Any:
        return rollout(env, policy_of(learner), key, jnp.zeros(number, jnp.float32))

    return made_by(label, f"{what} policy", jax.eval_shape, play, learner, key)


def example_episodes(env: Environment, number: int) -> Any:
    """The shapes of `number` recorded episodes `[number, time, ...]`."""
    play = partial(rollout, env, random_policy(), epsilon=jnp.zeros(number, jnp.float32))
    return jax.eval_shape(lambda: play(key=jax.random.key(0)))


def _check_update(label: str, algorithm: Algorithm, update: Any, learner: Any, samples: dict[str, Sample]) -> None:
    """Check what `update` returns: a learner like the one before, and metrics."""
    if not isinstance(update, tuple | list) or len(update) != 2:
        raise ValueError(
            f"{label}: its update returned a {type(update).__name__}, but must return (learner, metrics)"
        )
    if not isinstance(update[1], Mapping):
        raise ValueError(f"{label}: the metrics of its update are not a dict")
    refuse_other_arrays(f"{label}: the learner that its update returns", update[0], learner)
    metrics = update[1]
    if "loss" not in metrics:
        names = ", ".join(metrics) or "none"
        raise ValueError(f"{label}: its update has no loss among its metrics, which are {names}")
    _refuse_no_scalars(label, {name: metrics.get(name, metrics["loss"]) for name in ("loss", "dropped_rows")})
    errors = metrics.get("errors", {})
    for stream, sample in samples.items() if algorithm.collection.replay.feedback is not None else ():
        found = errors.get(stream) if isinstance(errors, Mapping) else None
        if getattr(found, "shape", None) != sample.index.shape:
            given = "no errors" if found is None else f"errors {_in_words(found)}"
            raise ValueError(f"{label}: its update gives {given} of stream {stream!r}, which the sampler is fed")
    for name in algorithm.diagnostics:
        if name not in metrics:
            raise ValueError(
                f"{label}: its update has no metric {name!r}, which its diagnostics name; {nearest(name, metrics)}"
            )
    _refuse_no_scalars(label, {name: metrics[name] for name in algorithm.diagnostics})


def _refuse_no_scalars(label: str, metrics: Mapping[str, Any]) -> None:
    for name, found in metrics.items():
        is_real = any(jnp.issubdtype(getattr(found, "dtype", object), kind) for kind in REAL)
        if getattr(found, "shape", None) != () or not is_real:
            raise ValueError(f"{label}: its {name} is {_in_words(found)}, but must be a scalar, a real number")


def check_replay(label: str, replay: Replay, episodes: Any, batch_size: int | None = None) -> Sample:
    """Trace the functions of a replay on the shapes of `episodes` `[number, time, ...]`; returns those of a sample.

    With `batch_size` a sample must have that many episodes.

    Raises ValueError, in one line, for what does not fit the docstrings of `Replay` and `Sample`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    example = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), episodes)
    storage = made_by(label, "replay's init", jax.eval_shape, replay.init, example)
    added = made_by(label, "replay's add", jax.eval_shape, replay.add, storage, episodes)
    refuse_other_arrays(f"{label}: the storage that its replay's add returns", added, storage)
    size = made_by(label, "replay's size", jax.eval_shape, replay.size, storage)
    if getattr(size, "shape", None) != () or not jnp.issubdtype(size.dtype, jnp.integer):
        raise ValueError(f"{label}: its replay's size is {_in_words(size)}, but must be a scalar, an integer")
    made: list[Any] = []
    made_by(label, "replay's sample", jax.eval_shape, lambda *x: made.append(replay.sample(*x)), key, storage)
    if not isinstance(made[0], Sample):
        raise ValueError(
            f"{label}: its replay's sample returned a {type(made[0]).__name__}, but must return a Sample"
        )
    sample: Sample = jax.eval_shape(replay.sample, key, storage)
    for problem in _problems_of(sample, replay, example, batch_size):
        raise ValueError(f"{label}: its replay's sample has {problem}")
    if replay.feedback is not None:
        errors = jax.ShapeDtypeStruct(sample.index.shape, jnp.float32)
        fed = made_by(label, "replay's feedback", jax.eval_shape, replay.feedback, storage, sample.index, errors)
        refuse_other_arrays(f"{label}: the storage that its replay's feedback returns", fed, storage)
    return sample


def _problems_of(sample: Sample, replay: Replay, example: Any, batch_size: int | None) -> Iterator[str]:
    starts, alike = sample.window_start, _alike(sample.episodes, example)
    drawn = [(x.shape, x.dtype) for x in jax.tree.leaves(sample.episodes)] if alike else [((), None)]
    batch = drawn[0][0][:1] if batch_size is None else (batch_size,)
    if drawn != [((*batch, *x.shape), x.dtype) for x in jax.tree.leaves(example)]:
        yield f"other episodes than {batch[0] if batch else 'some'} of those that were added, in shape or type"
        return
    if (starts is not None) != replay.chooses_windows:
        given = "no window_start" if starts is None else "a window_start"
        yield f"{given}, and chooses_windows={replay.chooses_windows}"
    fields: dict[str, tuple[Any, Any]] = {
        "weight": (sample.weight, jnp.floating),
        "index": (sample.index, jnp.integer),
    }
    fields |= {"window_start": (starts, jnp.integer)} if starts is not None else {}
    for name, (array, kind) in fields.items():
        if getattr(array, "shape", None) != batch or not jnp.issubdtype(array.dtype, kind):
            yield f"{name} {_in_words(array)}, which must be {kind.__name__}{list(batch)}"


def _in_words(array: Any) -> str:
    """Type and shape of an array, or what else something is."""
    if hasattr(array, "shape"):
        return f"{array.dtype}{list(array.shape)}"
    return "None" if array is None else f"a {type(array).__name__}"


def _alike(one: Any, other: Any) -> bool:
    structures: tuple[Any, Any] = jax.tree.structure(one), jax.tree.structure(other)
    return bool(structures[0] == structures[1])


def refuse_other_arrays(what: str, found: Any, expected: Any) -> None:
    """Raise a one-line ValueError unless two pytrees of shapes have the same structure, shapes and dtypes."""
    if not _alike(found, expected):
        raise ValueError(f"{what} has another structure than before")
    pairs = zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected), strict=True)
    for (path, new), old in pairs:
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"{what} has {new.dtype}{list(new.shape)} at {where}, but must have {old.dtype}{list(old.shape)}"
            )
