"""State -> frame -> GIF. An environment supplies `draw(state, ax)`, made of the parts below.

Figures are drawn on an Agg canvas of their own: no display, no pyplot, nothing shared with other figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmac.envs.arguments import fits, python_value
from jaxmac.envs.environment import Environment, EnvState

COLOURS = (  # of agents 0, 1, 2, ...
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f3fbf",
    "#8c564b",
    "#606060",
    "#bcbd22",
)
WIDTH, HEIGHT, DPI = 4.0, 4.0, 100  # of the axes, inches; a caption is added below
LINE = 0.22  # height of a line of the caption, inches
GAP = 14  # least number of pixels between the title and the outcome
UNCHANGED = 63  # colour index of pixels that are as in the frame before
LAST_FRAME = 2000  # milliseconds


def frame(env: Environment, state: EnvState) -> np.ndarray:
    """One picture of `state` (unbatched), uint8 `[height, width, 3]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    state = jax.device_get(state)
    lines = -(-env.num_agents // _columns(env))
    height = HEIGHT + LINE * lines + 0.1
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.03, 1 - 0.99 * HEIGHT / height, 0.94, 0.91 * HEIGHT / height))
    ax.set_axis_off()
    env.draw(state, ax)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_gif(env: Environment, states: Sequence[EnvState] | EnvState, path: str | Path, fps: float = 5.0) -> Path:
    """Animate an episode: `states` is a list, or one pytree with time as leading axis.

    The last frame is shown longer; frames that look alike become one. Raises ValueError if `states` is empty, or
    unless `fps`, the frames per second, is a positive number.
    """
    from PIL import Image

    if not fits(python_value(fps), float) or not 0 < fps <= 1000:
        raise ValueError(f"fps is {fps!r}, but must be a number above 0, at most 1000")
    frames = [Image.fromarray(frame(env, state)) for state in _as_list(states)]
    if not frames:
        raise ValueError("states is empty, but an animation needs at least one state")
    # One palette for all frames keeps what does not move identical; identical pixels are transparent: small files.
    some = [frames[i] for i in np.linspace(0, len(frames) - 1, 8).astype(int)]
    palette = Image.fromarray(np.concatenate([np.asarray(image) for image in some])).quantize(UNCHANGED)
    pixels = [np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE)) for image in frames]
    changes = [np.where(new == old, UNCHANGED, new) for old, new in pairwise(pixels)]
    images = [Image.fromarray(changed.astype(np.uint8)) for changed in (pixels[0], *changes)]
    for image in images:
        image.putpalette(palette.getpalette() or [])
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=[round(1000 / fps)] * (len(images) - 1) + [LAST_FRAME],
        loop=0,
        transparency=UNCHANGED,
        disposal=1,
        optimize=False,
    )
    return Path(path)


def draw_grid(ax: Any, columns: int, rows: int) -> None:
    """An empty grid with cell (x, y) centred at (x, y), y upwards, and half a cell of room around it."""
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(-1.0, columns)
    ax.set_ylim(-1.0, rows)
    ax.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="#d9d9d9", linewidth=0.6, zorder=1)
    ax.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="#d9d9d9", linewidth=0.6, zorder=1)
    draw_box(ax, (columns - 1) / 2, (rows - 1) / 2, columns, rows, "none", edge="#404040", zorder=3)


def draw_box(
    ax: Any, x: float, y: float, width: float, height: float, colour: str, edge: str = "none", zorder: int = 2
) -> None:
    """A rectangle centred at (x, y)."""
    from matplotlib.patches import Rectangle

    corner = (x - width / 2, y - height / 2)
    ax.add_patch(Rectangle(corner, width, height, facecolor=colour, edgecolor=edge, linewidth=1.2, zorder=zorder))


def draw_robots(ax: Any, x: np.ndarray, y: np.ndarray, heading: np.ndarray) -> None:
    """Arrows with the robots' colours and numbers at cells (x, y); those in one cell side by side.

    `heading` is 0 up, 1 right, 2 down, 3 left.
    """
    points_per_cell = 72 * WIDTH / np.ptp(ax.get_xlim())
    cells = list(zip(x.tolist(), y.tolist(), strict=True))
    for i, cell in enumerate(cells):
        sharing = [j for j, other in enumerate(cells) if other == cell]
        scale = 0.47 / len(sharing) ** 0.75
        offset = (sharing.index(i) - (len(sharing) - 1) / 2) * 0.96 / len(sharing)
        angle = -np.pi / 2 * int(heading[i])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        outline = np.array([(0, 1), (0.85, -0.85), (0, -0.45), (-0.85, -0.85)]) * scale
        points = outline @ turn.T + (cell[0] + offset, cell[1])
        colour = COLOURS[i % len(COLOURS)]
        ax.fill(*points.T, facecolor=colour, edgecolor="white", lw=0.6, zorder=5, clip_on=False)
        size = 0.75 * scale * points_per_cell
        if size >= 5:  # points; smaller is not readable
            middle = (cell[0] + offset, cell[1])
            ax.text(*middle, str(i), fontsize=size, color="white", ha="center", va="center", zorder=6)


def _as_list(states: Sequence[EnvState] | EnvState) -> list[EnvState]:
    if not isinstance(states, EnvState):
        return list(states)
    stacked = jax.device_get(states)
    return [jax.tree.map(lambda leaf, t=t: leaf[t], stacked) for t in range(len(stacked.time))]


def _columns(env: Environment) -> int:
    """Columns of the caption."""
    return 1 if env.num_agents <= 3 else 2


def draw_caption(env: Environment, state: EnvState, ax: Any) -> None:
    """Above the axes time, return and outcome; below each agent's running macro-action and for how long."""
    end = "finished" if state.terminal else "time limit" if state.truncated else ""
    if state.terminal and env.horizon_is_terminal and state.time >= env.horizon:
        end = "finished or time limit"
    title = f"{env.name}   step {int(state.time)}   return {float(state.episode_return):.1f}"
    above = [
        _note(ax, (0, 1), 9, title),
        _note(ax, (1, 1), 9, end, ha="right", weight="bold"),
    ]
    _fit_side_by_side(ax, above)
    columns = _columns(env)
    for i in range(env.num_agents):
        action = int(state.macro_action[i])
        doing = "ready" if action < 0 else env.action_names[i][action]
        since = ", done" if state.ended[i] else f", step {int(state.elapsed[i])}"
        text = f"▲ {i}: {doing}" + (since if action >= 0 else "")
        down = -14 - LINE * 72 * (i // columns)
        _note(ax, ((i % columns) / 2, 0), down, text, fontsize=9, color=COLOURS[i % len(COLOURS)])


def _fit_side_by_side(ax: Any, notes: list[Any]) -> None:
    """The largest letters, of up to 10 points, with which two notes above the axes do not overlap."""
    ax.apply_aspect()  # which may make the axes narrower
    room = ax.get_window_extent().width - GAP
    for size in np.arange(10.0, 5.0, -0.5):
        for note in notes:
            note.set_fontsize(size)
        if sum(note.get_window_extent().width for note in notes) <= room:
            break


def _note(ax: Any, corner: tuple[float, float], points_up: float, text: str, **style: Any) -> Any:
    """Text at a corner of the axes (fractions), moved up by some points."""
    return ax.annotate(
        text, corner, xytext=(0, points_up), xycoords="axes fraction", textcoords="offset points",
        va="center", annotation_clip=False, parse_math=False, **style
    )  # fmt: skip
