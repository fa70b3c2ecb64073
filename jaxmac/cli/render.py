"""`jaxmac render`: animate or draw one episode of a learned policy, or of a scripted or random one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxmac import envs
from jaxmac.cli.parsing import documented, given_env_options, make_arguments_class, parse, peek, refuse_given
from jaxmac.record.policy import BASELINES

POLICIES = ", ".join(BASELINES) + ", zoo, zoo:ALGORITHM or the folder of an exported policy"


def _render_class(env_id: str | None) -> type:
    """The arguments of `jaxmac render`, with the options of the environment if one is given."""
    fields = [
        ("run", Annotated[Path | None, tyro.conf.Positional], None),
        ("member", documented(int, "index of the member"), 0),
        ("best", documented(bool, "the learner of the member's best evaluation instead of the last one"), False),
        ("env", documented(str | None, "without a run: an environment id"), None),
        ("policy", documented(str, "without a run: " + POLICIES), "scripted"),
        ("seed", documented(int, "seed of the episode"), 0),
        ("timeline", documented(bool, "draw who runs which macro-action when, instead of an animation"), False),
        ("out", documented(Path | None, "file to write (default: in RUN, or named ENV_POLICY)"), None),
    ]
    description = "Animate an episode of a learned policy, or of an environment under a scripted or random policy."
    return make_arguments_class(description, fields, env_id)


def command_render(arguments: Sequence[str]) -> int:
    """Write an animation, or with --timeline a strip of the macro-actions, and print its path."""
    from jaxmac.runs.result import load

    given = parse("render", _render_class(peek(arguments, "--env", "") or None), arguments)
    if (given.run is None) == (given.env is None):
        raise ValueError("give either a run directory or an environment (--env ID)")
    if given.run is not None:
        refuse_given(arguments, ["--policy"], "is for --env without a run: a run has its own policies")
        run = load(given.run)
        if given.timeline:
            out = given.out or given.run / "timeline.png"
            run.timeline(given.member, out, given.seed, given.best)
        else:
            out = given.out or given.run / "episode.gif"
            run.render(given.member, out, given.seed, given.best)
    else:
        refuse_given(arguments, ["--member", "--best"], "is for a run: a policy by name is one learner")
        out = _without_a_run(
            given, envs.make(given.env, **given_env_options(given.env, given.env_options, arguments))
        )
    print(out)
    return 0


def _without_a_run(given: Any, env: envs.Environment) -> Path:
    """Draw an episode of a policy given by its name; returns the file."""
    from jaxmac.analysis.animation import animate
    from jaxmac.analysis.timelines import timeline
    from jaxmac.arguments import FIGURES
    from jaxmac.export.zoo import policy_by_name, policy_title
    from jaxmac.runs.outputs import output_file

    policy = policy_by_name(given.policy, env)
    name = re.sub(r"\W+", "_", f"{given.env}_{Path(given.policy).name}").lower()
    if given.timeline:
        out = output_file(given.out or f"{name}_timeline.png", FIGURES)
        timeline(env, policy, given.seed, out, f"{given.env}, {policy_title(given.policy, env)}")
    else:
        out = output_file(given.out or f"{name}.gif", (".gif",), writes=("episode.gif",))
        animate(env, policy, given.seed, out)
    return out
