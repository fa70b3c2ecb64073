"""Animations of one episode, written to a file or shown in a notebook."""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import jax

from jaxmac.arguments import check_environment_made, file_to_write
from jaxmac.envs.arguments import check_seed
from jaxmac.envs.environment import Environment
from jaxmac.record.policy import Policy, check_policy
from jaxmac.record.rollout import play


@dataclass(frozen=True)
class Animation:
    """A GIF that a notebook shows at the end of a cell."""

    gif: bytes = field(repr=False)

    def _repr_html_(self) -> str:
        return f'<img src="data:image/gif;base64,{base64.b64encode(self.gif).decode()}">'


def animate(
    env: Environment, policy: Policy, seed: int = 0, path: str | os.PathLike | None = None
) -> Path | Animation:
    """Play one episode and animate it as a GIF.

    Args:
        env: the environment.
        policy: who plays, such as `jaxmac.scripted_policy(env)`, `jaxmac.random_policy()` or `Result.policy()`.
        seed: of the episode's random numbers.
        path: the file to write. None writes no file.

    Returns:
        `path`, or without it an `Animation` that a notebook shows inline.

    Raises:
        ValueError: `path` does not end with .gif, the seed is out of range, the environment has no drawing, or
            `env` or `policy` is of another kind.
        OSError: `path` cannot be written, or holds something that is not a GIF.
    """
    from jaxmac.envs.rendering import write_gif

    check_environment_made(env)
    check_policy(policy)
    seed = check_seed(seed)
    if type(env).draw is Environment.draw:
        raise ValueError(f"{env.name} has no drawing: {type(env).__name__} does not define draw(state, ax)")
    if path is not None:
        path = file_to_write("path", path, (".gif",))  # last: it makes the folder
    states, _ = play(env, policy, jax.random.key(seed))
    if path is not None:
        return write_gif(env, states, path)
    with tempfile.TemporaryDirectory() as folder:
        return Animation(write_gif(env, states, Path(folder) / "episode.gif").read_bytes())
