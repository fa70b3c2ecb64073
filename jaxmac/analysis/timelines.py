"""Who runs which macro-action when: one episode as a strip, agents as rows and time as columns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxmac.arguments import FIGURES, check_environment_made, file_to_write
from jaxmac.envs.arguments import check_seed
from jaxmac.envs.environment import Environment
from jaxmac.record.policy import Policy, check_policy
from jaxmac.record.rollout import play

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_PER_CHARACTER = 0.075  # of a label, at its size
HEIGHTS = (-0.6, -0.9)  # of the rewards' values, the first one preferred


class Bar(NamedTuple):
    """One macro-action of one agent, from its start to the step after its last one."""

    agent: int
    action: int
    start: int
    stop: int
    unfinished: bool  # the episode ended first


def timeline(
    env: Environment, policy: Policy, seed: int = 0, path: str | os.PathLike | None = None, title: str = ""
) -> Figure:
    """Play the episode that `animate` shows for the same seed and draw its macro-actions.

    A bar is a macro-action, hatched if the episode ended before it did. Rewards stand above the strip where they
    differ from the episode's most frequent one.

    Args:
        env: the environment.
        policy: who plays, such as `jaxmac.scripted_policy(env)` or `Result.policy()`.
        seed: of the episode's random numbers.
        path: the file to write; its suffix gives the format. None writes no file.
        title: title of the figure; empty: the environment's name.

    Raises:
        ValueError: the seed is out of range, `env` or `policy` is of another kind, or `path` does not end with
            .png, .svg or .pdf.
        OSError: `path` cannot be written, or holds something that is not a picture.
    """
    check_environment_made(env)
    check_policy(policy)
    seed = check_seed(seed)
    if path is not None:
        path = file_to_write("path", path, FIGURES)  # last: it makes the folder
    _, steps = play(env, policy, jax.random.key(seed))
    action, ended, reward = (np.asarray(x)[1:] for x in (steps.macro_action, steps.ended, steps.reward))
    figure = draw(list(bars(action, ended)), reward, env.action_names, title or env.name)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def bars(action: Int[np.ndarray, "time agents"], ended: Bool[np.ndarray, "time agents"]) -> Iterator[Bar]:
    """The macro-actions of an episode: `action` runs during a step, `ended` says where it ends with that step."""
    steps, agents = action.shape
    for agent in range(agents):
        start = 0
        for step in range(steps):
            if ended[step, agent] or step == steps - 1:
                yield Bar(agent, int(action[step, agent]), start, step + 1, not ended[step, agent])
                start = step + 1


def draw(
    found: list[Bar],
    reward: Float[np.ndarray, "time"],
    action_names: tuple[tuple[str, ...], ...],
    title: str,
) -> Figure:
    """The figure of `timeline`."""
    from matplotlib import colormaps

    from jaxmac.analysis.figure import NotebookFigure

    agents, steps = len(action_names), len(reward)
    width = float(np.clip(0.12 * steps, 7, 14))
    figure = NotebookFigure(figsize=(width, 1.6 + 0.55 * agents), layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(action_names[bar.agent][bar.action] for bar in found))
    colours = {name: colormaps["tab20"](index % 20) for index, name in enumerate(names)}
    room = width * 0.85 / steps / INCHES_PER_CHARACTER  # characters that fit into a step
    for bar in found:
        name = action_names[bar.agent][bar.action]
        _draw_bar(axes, bar, name, colours[name], fits=len(name) <= room * (bar.stop - bar.start))
    axes.set_yticks(range(agents), [f"agent {agent}" for agent in range(agents)])
    axes.set(xlim=(0, steps), xlabel="timestep")
    _draw_rewards(axes, reward, agents - 0.4)
    axes.set_title(f"{title}, return {reward.sum():.4g} in {steps} timesteps", parse_math=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    handles = [_patch(name, colour) for name, colour in colours.items()]
    columns = max(1, int(width / (0.5 + 0.1 * max(map(len, names)))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    return figure


def _draw_bar(axes: Any, bar: Bar, name: str, colour: Any, fits: bool) -> None:
    length = bar.stop - bar.start
    hatch = "///" if bar.unfinished else None
    axes.barh(bar.agent, length, 0.72, bar.start, color=colour, edgecolor="white", linewidth=0.8, hatch=hatch)
    if fits:
        dark = np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.55
        middle, shade = bar.start + length / 2, "white" if dark else "black"
        label = axes.text(
            middle, bar.agent, name, ha="center", va="center", fontsize=8, color=shade, parse_math=False
        )
        if bar.unfinished:  # no hatching behind the letters
            label.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 1})


def _draw_rewards(axes: Any, reward: np.ndarray, bottom: float) -> None:
    """Mark the rewards that differ from the most frequent one by a line down to `bottom`, and write their values.

    A value that would cover the one before it stands higher; where both heights are taken, it is left out.
    """
    values, counts = np.unique(reward, return_counts=True)
    usual = values[counts.argmax()]
    last = [-float("inf")] * len(HEIGHTS)
    for step in np.flatnonzero(reward != usual):
        end = int(step) + 1  # a reward comes at the end of its step
        axes.plot([end, end], [-0.5, bottom], color="0.25", linewidth=0.8, linestyle=":", zorder=0)
        free = [row for row, before in enumerate(last) if end - before >= 0.05 * len(reward)]
        if free:
            axes.text(end, HEIGHTS[free[0]], f"{reward[step]:+.4g}", ha="center", fontsize=8, color="0.15")
            last[free[0]] = end
    axes.set_ylim(bottom, -0.9 if last[1] < 0 else -1.2)


def _patch(name: str, colour: Any) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=name.replace("$", r"\$"))
