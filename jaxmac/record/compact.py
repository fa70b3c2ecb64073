"""Replays store observations and states as small integers where the environment says that they are multiples."""

from __future__ import annotations

from typing import Any

from flax import struct
from jaxtyping import Array

from jaxmac.envs.environment import Environment
from jaxmac.envs.multiples import Multiples
from jaxmac.record.episode import Episode
from jaxmac.record.replay import Replay, Sample


class CompactEpisode(Episode):
    """Episodes as they are stored: `obs` and `state` are what `Multiples.pack` makes of them, or as in `Episode`.

    Packing is exact: `unpacked` gives the same float32 values back. The other fields are as they were.
    """

    obs: Any
    state: Any
    obs_multiples: Multiples | None = struct.field(pytree_node=False, default=None)
    state_multiples: Multiples | None = struct.field(pytree_node=False, default=None)

    def unpacked(self) -> Episode:
        """The episodes as they were recorded."""
        fields = {name: getattr(self, name) for name in Episode.__dataclass_fields__}
        for name, multiples in (("obs", self.obs_multiples), ("state", self.state_multiples)):
            if multiples is not None:
                fields[name] = multiples.unpack(fields[name])
        return Episode(**fields)


def packed(episodes: Episode, obs: Multiples | None, state: Multiples | None) -> CompactEpisode:
    """Episodes with any leading axes, as they are stored; `obs` and `state` say which entries have a unit."""
    fields = dict(vars(episodes))
    for name, multiples in (("obs", obs), ("state", state)):
        if multiples is not None:
            fields[name] = multiples.pack(fields[name])
    return CompactEpisode(**fields, obs_multiples=obs, state_multiples=state)


def is_compact(node: Any) -> bool:
    """Whether a node of a tree is a `CompactEpisode`, for `is_leaf`."""
    return isinstance(node, CompactEpisode)


def compact_replay(replay: Replay, env: Environment) -> Replay:
    """`replay`, which then stores a `CompactEpisode` for every episode, and samples what was added.

    Where the environment does not say what its observations and states are multiples of, it is `replay` itself.
    """
    obs, state = env.obs_multiples, env.state_multiples
    if obs is None and state is None:
        return replay

    def sample(key: Array, storage: Any) -> Sample:
        drawn = replay.sample(key, storage)
        assert isinstance(drawn.episodes, CompactEpisode)
        return drawn._replace(episodes=drawn.episodes.unpacked())

    return replay._replace(
        init=lambda example: replay.init(packed(example, obs, state)),
        add=lambda storage, episodes: replay.add(storage, packed(episodes, obs, state)),
        sample=sample,
    )
