"""Capture Target: agents on a torus meet in the cell of a target that moves at random and that they often miss.

* Observation, 4 numbers: own cell (x, y) and the target's, (-1, -1) while hidden; over `grid`, or over
  `(grid - 1) / 2` in the primitive version. Each agent misses the target in a step with probability `flicker`.
* Macro-actions: move to the target (towards its cell where seen, else the last cell that a move to the target has
  seen; ends on that cell, or at once if there is none), and stay (one step). Both can always start.
* Transition: a step goes astray to the left or right with probability `slip`; the target then moves to one of its
  four neighbours or stays, each with probability 1/5, unless all agents stand on it.
* Reward: 1 when all agents are on the target's cell, which ends the episode; 0 else.

Source: the Capture Target specification, quirks included; "section" below means its sections.
"""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep

NORTH, SOUTH, WEST, EAST, STILL = range(5)  # directions
MOVE_TO_TARGET, STAY = range(2)  # macro-actions
LEFT, INTENDED, RIGHT = range(3)  # outcomes of a slip
AGENTS = range(2, 11)
LARGEST_GRID = 1024  # up to there `_times` is exact
ORDERS = 120  # permutations of the five directions


class Noise(NamedTuple):
    """The random draws of one step; N agents."""

    direction_priority: Array  # f32 [N, 5]: among tied best directions the highest wins
    slip: Array  # i32 [N]: 0 left, 1 intended, 2 right of the direction
    target_direction: Array  # i32 []: 0 north, 1 south, 2 west, 3 east, 4 none
    visible: Array  # bool [N]: does the agent see the target after this step?


@struct.dataclass
class Cells:
    """Cells of the torus: i32 column and row, `[N]`, or `[]` for one cell."""

    x: Array
    y: Array

    def same(self, other: Cells) -> Array:
        """Is it the same cell?"""
        return (self.x == other.x) & (self.y == other.y)


@struct.dataclass
class Physics:
    """The world, and what the low-level controllers know."""

    agents: Cells  # [N]
    target: Cells  # []
    visible: Array  # bool [N]: sees the target now
    goals: Cells  # [N]: remembered goal of Move-to-T, (-1, -1) for none (unused by the primitive version)


class CaptureTarget(Environment):
    """Capture Target with macro-actions (sections 1 to 5)."""

    actions = ("move to target", "stay")
    legend = "ring: sees the target   x: goal it remembers"

    def __init__(
        self, num_agents: int, *, grid: int = 10, horizon: int = 60, slip: float = 0.1, flicker: float = 0.3
    ):
        """`grid` is the side of the torus; `slip` (left and right together) and `flicker` are probabilities.

        Raises ValueError, in one line, for values out of range.
        """
        if num_agents not in AGENTS:
            raise ValueError(f"num_agents is {num_agents!r}, but must be an integer from 2 to 10")
        if grid not in range(3, LARGEST_GRID + 1):
            raise ValueError(f"grid is {grid!r}, but must be an integer from 3 to {LARGEST_GRID}")
        for name, probability in (("slip", slip), ("flicker", flicker)):
            if not 0 <= probability <= 1:
                raise ValueError(f"{name} is {probability!r}, but must be a probability, from 0 to 1")
        self.grid, self.slip, self.flicker = int(grid), float(slip), float(flicker)
        self.obs_scale = self._obs_scale()
        super().__init__(
            action_names=[self.actions] * num_agents,
            obs_sizes=[4] * num_agents,
            state_size=2 * num_agents + 2,
            horizon=horizon,
        )

    def _obs_scale(self) -> float:
        return 1 / self.grid

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """Always move to the target: no better plan that does not look is known."""
        return ((MOVE_TO_TARGET,),) * self.num_agents

    def initial_physics(self, key: Array) -> Physics:
        """Uniform cells, drawn independently; capture is not tested before the first step."""
        of_cells, of_visible = jax.random.split(key)
        cells = jax.random.randint(of_cells, (self.num_agents + 1, 2), 0, self.grid)
        return self._place(cells[:-1], cells[-1], self.sample_noise(of_visible).visible)

    def _place(self, agent_cells: Array, target_cell: Array, visible: Array) -> Physics:
        cells, target = jnp.asarray(agent_cells, jnp.int32), jnp.asarray(target_cell, jnp.int32)
        none = jnp.full(self.num_agents, -1, jnp.int32)
        return Physics(
            Cells(cells[:, 0], cells[:, 1]),
            Cells(target[0], target[1]),
            jnp.asarray(visible, bool),
            Cells(none, none),
        )

    def initial(self, agent_cells: Array, target_cell: Array, visible: Array) -> tuple[EnvState, TimeStep]:
        """Start from `agent_cells` `[N, 2]`, `target_cell` `[2]` (x, y) and who sees the target, bool `[N]`."""
        return self.begin(self._place(agent_cells, target_cell, visible))

    def sample_noise(self, key: Array) -> Noise:
        """All draws of a step, from two words of random bits an agent and one for the target."""
        words = jax.random.bits(key, (2 * self.num_agents + 1,))
        first, second = words[: self.num_agents], words[self.num_agents : -1]
        order, rest = first % ORDERS, first // ORDERS  # independent of each other
        span = -(-(2**32) // ORDERS)  # values of `rest`
        left, astray = (rest < np.uint32(round(share * span)) for share in (self.slip / 2, self.slip))
        return Noise(
            _ranks(order),
            jnp.where(left, LEFT, jnp.where(astray, RIGHT, INTENDED)),
            (words[-1] % 5).astype(jnp.int32),
            second >> 8 >= np.uint32(round(self.flicker * 2**24)),
        )

    def transition(
        self, physics: Physics, macro_actions: Array, started: Array, noise: Noise
    ) -> tuple[Physics, Outcome]:
        """Every agent stays or takes a step towards its goal (section 4), then the target moves (section 5)."""
        del started
        moves = macro_actions != STAY
        goals = _select(physics.visible, physics.target, physics.goals)
        walks = moves & (goals.x >= 0)  # with no goal Move-to-T ends at once
        direction = jnp.where(walks, self._towards(physics.agents, goals, noise.direction_priority), STILL)
        agents = self._walk(physics.agents, direction, noise.slip)
        # Only a Move-to-T remembers what it saw; where it saw nothing `goals` is what it remembered before.
        physics = physics.replace(agents=agents, goals=_select(moves, goals, physics.goals))
        return self._finish(physics, ~walks | agents.same(goals), macro_actions, noise)

    def _towards(self, agents: Cells, goals: Cells, priority: Array) -> Array:
        """The direction whose cell, on the torus, is nearest to the goal by plain Euclidean distance."""
        # Of squared offsets for no step, +1 and -1.
        x, y = ([(self._wrap(a + step) - b) ** 2 for step in (0, 1, -1)] for a, b in _axes(agents, goals))
        scores = (x[0] + y[1], x[0] + y[-1], x[-1] + y[0], x[1] + y[0], x[0] + y[0])
        lowest = reduce(jnp.minimum, scores)
        best, highest = NORTH, -jnp.inf
        for direction, score in enumerate(scores):
            mine = jnp.where(score == lowest, priority[:, direction], -jnp.inf)
            best, highest = jnp.where(mine > highest, direction, best), jnp.maximum(mine, highest)
        return best

    def _walk(self, cells: Cells, direction: Array, slip: Array) -> Cells:
        """One cell in `direction`, after a quarter turn by `slip`; whoever stands still does not slip."""
        dx = (direction == EAST).astype(jnp.int32) - (direction == WEST)
        dy = (direction == NORTH).astype(jnp.int32) - (direction == SOUTH)
        left, right = slip == LEFT, slip == RIGHT
        x = cells.x + jnp.where(left, -dy, jnp.where(right, dy, dx))
        y = cells.y + jnp.where(left, dx, jnp.where(right, -dx, dy))
        return Cells(self._wrap(x), self._wrap(y))

    def _wrap(self, x: Array) -> Array:
        """A column or row at most one cell outside, on the torus."""
        return jnp.where(x < 0, self.grid - 1, jnp.where(x == self.grid, 0, x))

    def _finish(
        self, physics: Physics, ended: Array, macro_actions: Array, noise: Noise
    ) -> tuple[Physics, Outcome]:
        """The target moves unless all agents stand on it; all agents on its cell, before or after: captured."""
        frozen = physics.agents.same(physics.target).all()
        moved = self._walk(physics.target, noise.target_direction, jnp.int32(INTENDED))
        target = _select(frozen, physics.target, moved)
        captured = physics.agents.same(target).all()
        physics = physics.replace(target=target, visible=noise.visible)
        return physics, Outcome(ended, macro_actions, captured.astype(jnp.float32), captured)

    def observe(self, physics: Physics) -> Array:
        """Own cell and the target's, or (-1, -1) where hidden (section 3)."""
        scaled = jax.tree.map(lambda k: _times(k, self.obs_scale), (physics.agents, physics.target))
        agents, target = scaled
        seen = [jnp.where(physics.visible, k, -1.0) for k in (target.x, target.y)]
        return jnp.stack([agents.x, agents.y, *seen], axis=1)

    def success(self, physics: Physics) -> Array:
        """The target is captured: all agents are in its cell."""
        return physics.agents.same(physics.target).all()

    def global_state(self, physics: Physics) -> Array:
        """The true cells of all agents, then of the target, over `grid` (section 7)."""
        x, y = (jnp.append(a, b) for a, b in _axes(physics.agents, physics.target))
        return _times(jnp.stack([x, y], axis=1).ravel(), 1 / self.grid)

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw the torus, the target (star), remembered goals (crosses) and agents (ringed: sees the target)."""
        from jaxmac.envs.rendering import COLOURS, WIDTH, draw_box, draw_caption, draw_grid

        draw_grid(ax, self.grid, self.grid)
        cell = 72 * WIDTH / (self.grid + 1)  # points
        physics, style = state.physics, {"zorder": 4, "clip_on": False}
        x, y = float(physics.target.x), float(physics.target.y)
        draw_box(ax, x, y, 1, 1, "#fff3c4", zorder=0)
        ax.plot(x, y, "*", markersize=0.95 * cell, color="#f2c230", markeredgecolor="#8a6a00", mew=0.6, zorder=2)
        for i, (x, y, room) in enumerate(_side_by_side(physics.agents)):
            if physics.goals.x[i] >= 0 and not physics.agents.same(physics.goals)[i]:
                # Every agent has a place of its own in the cell, around those who stand there.
                angle = 2 * math.pi * (i + 0.5) / self.num_agents
                goal = physics.goals.x[i] + 0.41 * math.cos(angle), physics.goals.y[i] + 0.41 * math.sin(angle)
                ax.plot(*goal, "x", markersize=0.16 * cell, mew=0.05 * cell, color=COLOURS[i], **style)
            size = (0.58 if room == 1 else 0.9 * room) * cell
            seeing = {"markeredgecolor": "black", "mew": min(1.6, 0.2 * size)} if physics.visible[i] else {"mew": 0}
            ax.plot(x, y, "o", markersize=size, color=COLOURS[i], **seeing, **style)
            if size >= 7:  # points; a number in a smaller disc is not readable
                ax.text(
                    x, y, str(i), fontsize=0.6 * size, color="white", ha="center", va="center_baseline", zorder=5
                )
        legend = {
            "xytext": (0, -8),
            "textcoords": "offset points",
            "fontsize": 7,
            "color": "#606060",
            "va": "center",
        }
        ax.annotate(self.legend, (-0.5, -0.5), **legend)
        draw_caption(self, state, ax)


class PrimitiveCaptureTarget(CaptureTarget):
    """Capture Target with the actions north, south, west, east and stay (section 6)."""

    actions = ("north", "south", "west", "east", "stay")
    legend = "ring: sees the target"

    def _obs_scale(self) -> float:
        return 2 / (self.grid - 1)

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """None: a plan that does not look cannot chase."""
        return None

    def transition(
        self, physics: Physics, macro_actions: Array, started: Array, noise: Noise
    ) -> tuple[Physics, Outcome]:
        """Every agent takes its step, which may slip, then the target moves."""
        del started
        physics = physics.replace(agents=self._walk(physics.agents, macro_actions, noise.slip))
        return self._finish(physics, jnp.ones(self.num_agents, bool), macro_actions, noise)


def _axes(one: Cells, other: Cells) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    return (one.x, other.x), (one.y, other.y)


def _select(condition: Array, one: Cells, other: Cells) -> Cells:
    return jax.tree.map(partial(jnp.where, condition), one, other)


def _side_by_side(cells: Cells) -> list[tuple[float, float, float]]:
    """Where to draw each agent and how wide, in cells: those that share a cell stand side by side."""
    taken = list(zip(cells.x.tolist(), cells.y.tolist(), strict=True))
    places = []
    for i, (x, y) in enumerate(taken):
        sharing = [j for j, other in enumerate(taken) if other == (x, y)]
        columns = math.ceil(math.sqrt(len(sharing)))
        row, column = divmod(sharing.index(i), columns)
        last_row = math.ceil(len(sharing) / columns) - 1
        in_row = columns if row < last_row else len(sharing) - last_row * columns
        room = (1 if len(sharing) == 1 else 0.85) / columns
        places.append((x + room * (column - (in_row - 1) / 2), y + room * (last_row / 2 - row), room))
    return places


def _ranks(order: Array) -> Array:
    """Permutation number `order` (below 120, `[N]`) of the five directions: f32 `[N, 5]`, each of 0 to 4 once."""
    ranks = [jnp.zeros_like(order)]
    for others in range(1, 5):  # the next direction takes a place among the others
        order, place = order // (others + 1), order % (others + 1)
        ranks = [*(rank + (rank >= place) for rank in ranks), place]
    return jnp.stack([rank.astype(jnp.float32) for rank in ranks], axis=1)


def _times(cells: Array, factor: float) -> Array:
    """`cells * factor`, rounded once to float32 as a division by hand would be.

    XLA turns a division by a constant into a product with its rounded inverse, which is off in the last digit. So
    `factor` is split into 12 bits, whose product with a cell is exact, and a rest.
    """
    mantissa, exponent = np.frexp(factor)
    coarse = np.ldexp(np.round(np.ldexp(mantissa, 12)), exponent - 12)
    k = cells.astype(jnp.float32)
    return k * np.float32(coarse) + k * np.float32(factor - coarse)
