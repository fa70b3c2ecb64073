"""`jaxmac render`: animate one episode of a learned policy, or of a scripted or random one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmac import envs
from jaxmac.cli.parsing import documented, given_env_options, make_arguments_class, parse, peek, refuse_given
from jaxmac.record.policy import BASELINES, baseline_policy


def _render_class(env_id: str | None) -> type:
    """The arguments of `jaxmac render`, with the options of the environment if one is given."""
    fields = [
        ("run", Annotated[Path | None, tyro.conf.Positional], None),
        ("member", documented(int, "index of the member"), 0),
        ("env", documented(str | None, "without a run: an environment id"), None),
        ("policy", documented(str, "without a run: " + " or ".join(BASELINES)), "scripted"),
        ("seed", documented(int, "seed of the episode"), 0),
        ("out", documented(Path | None, "GIF to write (default: RUN/episode.gif or ENV_POLICY.gif)"), None),
    ]
    description = "Animate an episode of a learned policy, or of an environment under a scripted or random policy."
    return make_arguments_class(description, fields, env_id)


def command_render(arguments: Sequence[str]) -> int:
    """Write an animation and print its path."""
    from jaxmac.analysis.animation import animate
    from jaxmac.runs.outputs import output_file
    from jaxmac.runs.result import load

    given = parse("render", _render_class(peek(arguments, "--env", "") or None), arguments)
    if (given.run is None) == (given.env is None):
        raise ValueError("give either a run directory or an environment (--env ID)")
    if given.run is not None:
        refuse_given(arguments, ["--policy"], "is for --env without a run: a run has its own policies")
        run = load(given.run)
        print(run.render(given.member, given.out or given.run / "episode.gif", given.seed))
        return 0
    refuse_given(arguments, ["--member"], "is for a run: scripted and random policies have no members")
    env = envs.make(given.env, **given_env_options(given.env, given.env_options, arguments))
    policy = baseline_policy(given.policy, env)
    out = given.out or Path(f"{given.env}_{given.policy}".replace("-", "_").lower() + ".gif")
    print(animate(env, policy, given.seed, output_file(out, (".gif",), writes=("episode.gif",))))
    return 0
