"""Replays store whole episodes and sample minibatches from them; the sampling rule is a registered part.

The library's own rules are in `jaxmac.record.samplers`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmac.config import check_settings, settings_of
from jaxmac.envs.shapes import kind_and_line, one_line
from jaxmac.record.episode import Episode
from jaxmac.registry import Registry


class Sample(NamedTuple):
    """A minibatch of whole episodes, with the window and the weight that the sampling rule gives to each."""

    episodes: Episode  # [batch, time, ...]
    window_start: Int[Array, "batch"] | None  # first primitive step of the window to learn from; None: drawn
    weight: Float[Array, "batch"]  # factor on the losses of each episode's rows, 1 where all count alike
    index: Int[Array, "batch"]  # type: ignore[assignment]  # where they are stored, for `Replay.feedback`


class Replay(NamedTuple):
    """Storage of whole raw episodes and the rule that samples them, as pure functions.

    Attributes:
        init: a single episode (for its shapes and dtypes) -> empty storage.
        add: (storage, episodes `[number, time, ...]`) -> storage; the oldest episodes are overwritten.
        size: storage -> number of stored episodes, int32.
        sample: (key, storage) -> Sample.
        capacity: the largest number of stored episodes, as the sampling rule was given it.
        feedback: (storage, index `[batch]`, errors `[batch]`) -> storage, called after each update with the mean
            absolute temporal-difference error of each sampled episode; None where the rule does not use it.
        chooses_windows: whether samples have a `window_start`.
    """

    init: Callable[[Episode], Any]
    add: Callable[[Any, Episode], Any]
    size: Callable[[Any], Array]
    sample: Callable[[Array, Any], Sample]
    capacity: int
    feedback: Callable[[Any, Array, Array], Any] | None = None
    chooses_windows: bool = False


SAMPLERS: Registry[Callable[..., Any]] = Registry("sampler")


def register_sampler(name: str, factory: Callable[..., Any]) -> None:
    """Add a sampling rule: hyperparameter `sampling="NAME"` of every algorithm with a replay.

    Args:
        name: the rule's name.
        factory: a frozen dataclass whose fields made with `jaxmac.setting` are its hyperparameters and whose
            instances are called with `(capacity, batch_size, window)`; or a function of these three. `capacity` is
            the number of episodes to store, `batch_size` that of a minibatch, `window` the length in primitive
            steps of a training window. It returns a `Replay`.

    Raises ValueError, in one line, for a name that is taken or a factory of the wrong kind.
    """
    method: Any = factory.__call__ if inspect.isclass(factory) else factory
    if (
        not callable(factory)
        or not callable(method)
        or (inspect.isclass(factory) and not any("__call__" in vars(kind) for kind in factory.__mro__))
    ):
        raise ValueError(f"sampler {name!r} is {one_line(factory)}, but must be a callable dataclass or a function")
    if not inspect.isclass(factory) and settings_of(factory):
        raise ValueError(f"sampler {name!r} is an instance, whose settings could not be set: register its class")
    check_settings("sampler", name, factory, may_trace=False)
    SAMPLERS.register(name, factory)


def make_sampler(name: str, config: Any, capacity: int, batch_size: int, window: int) -> Replay:
    """The replay that the sampling rule `name` makes, with its settings from `config`.

    Raises ValueError, in one line, if a batch is larger than the replay, or the rule raises something or does not
    return a `Replay` of this capacity.
    """
    if batch_size > capacity:
        raise ValueError(f"batch_size is {batch_size}, but must be <= {capacity}, the episodes of the replay")
    factory: Any = SAMPLERS[name]
    try:
        if inspect.isclass(factory):
            factory = factory(**{setting: getattr(config, setting) for setting in settings_of(factory)})
        replay = factory(capacity, batch_size, window)
    except ValueError:  # for settings that do not fit
        raise
    except Exception as error:
        raise ValueError(f"sampler {name!r} raised {kind_and_line(error)}") from error
    if not isinstance(replay, Replay):
        raise ValueError(f"sampler {name!r} made a {type(replay).__name__}, but must make a jaxmac.record.Replay")
    if replay.capacity != capacity:
        raise ValueError(
            f"sampler {name!r} made a replay of capacity {replay.capacity!r}, but must make one of {capacity}"
        )
    return replay


def fresh_episodes(count: int) -> Replay:
    """The replay of an on-policy algorithm: every sample is all of the `count` episodes added last."""

    def init(example: Episode) -> Episode:
        return jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), example)

    def sample(key: Array, state: Episode) -> Sample:
        del key
        return Sample(state, None, jnp.ones(count, jnp.float32), jnp.arange(count, dtype=jnp.int32))

    return Replay(init, lambda state, episodes: episodes, lambda state: jnp.int32(count), sample, count)
