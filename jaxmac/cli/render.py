"""`jaxmac render`: animate one episode of a learned policy, or of a scripted or random one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxmac import envs
from jaxmac.cli.parsing import documented, env_options_class, given_env_options, parse, peek
from jaxmac.record.policy import BASELINES, baseline_policy


def _render_class(env_id: str | None) -> type:
    """The arguments of `jaxmac render`, with the options of the environment if one is given."""
    fields: list[Any] = [
        ("run", Annotated[Path | None, tyro.conf.Positional], None),
        ("member", documented(int, "member of the run"), 0),
        ("env", documented(str | None, "without a run: an environment id"), None),
        ("policy", documented(str, "without a run: " + " or ".join(BASELINES)), "scripted"),
        ("seed", documented(int, "of the episode"), 0),
        ("out", documented(Path | None, "the GIF to write (default: RUN/episode.gif or ENV_POLICY.gif)"), None),
    ]
    made = [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields]
    if env_id is not None:
        options = env_options_class(env_id)
        made.append(("env_options", options, dataclasses.field(default_factory=options)))
    return dataclasses.make_dataclass("Render", made, frozen=True)


def command_render(arguments: Sequence[str]) -> int:
    """Write an animation and print its path."""
    from jaxmac.analysis.animation import animate
    from jaxmac.runs.result import load

    given = parse("render", _render_class(peek(arguments, "--env", "") or None), arguments)
    if (given.run is None) == (given.env is None):
        raise ValueError("give either a run directory or an environment (--env ID)")
    if given.run is not None:
        print(load(given.run).render(given.member, given.out or given.run / "episode.gif", given.seed))
        return 0
    env = envs.make(given.env, **given_env_options(given.env, given.env_options, arguments))
    policy = baseline_policy(given.policy, env)
    out = given.out or Path(f"{given.env}_{given.policy}".replace("-", "_").lower() + ".gif")
    print(animate(env, policy, given.seed, out))
    return 0
