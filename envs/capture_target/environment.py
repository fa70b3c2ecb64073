"""Capture Target: agents on a torus meet in the cell of a target that moves at random and that they often miss.

* Observation, 4 numbers: own cell (x, y) and the target's, (-1, -1) while hidden; over `grid`, or over
  `(grid - 1) / 2` with primitive actions. In each step an agent does not see the target with probability `flicker`.
* Macro-actions: move to the target (towards its cell where seen, else the last cell that a move to the target has
  seen; ends on that cell, or at once if there is none), and stay (one step). Both can always start.
* Transition: a step goes astray to the left or right with probability `slip`; the target then moves to one of its
  four neighbours or stays, each with probability 1/5, unless all agents stand on it.
* Reward: 1 when all agents are on the target's cell, which ends the episode; 0 else.

Sources: Xiao, Hoffman and Amato, "Macro-action-based deep multi-agent reinforcement learning", CoRL 2019; with ten
agents Marchesini, Xiao and Amato, "Value factorization for asynchronous multi-agent reinforcement learning" (AVF),
2024, appendix D.3. Written after docs/specifications/capture_target.md, whose sections the comments name.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxmac.envs.arguments import check_option, fits, python_value
from jaxmac.envs.capture_target.drawing import draw_torus
from jaxmac.envs.capture_target.noise import INTENDED, Noise, sample_noise
from jaxmac.envs.capture_target.state import Cells, Physics
from jaxmac.envs.capture_target.torus import STILL, axes, best_direction, select, walk
from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep
from jaxmac.envs.exact import exact_product
from jaxmac.envs.multiples import Multiples
from jaxmac.envs.rendering import draw_caption

MOVE_TO_TARGET, STAY = range(2)  # macro-actions
AGENTS = range(2, 11)
LARGEST_GRID = 1024  # up to there tests have shown `exact_product` to be exact


class CaptureTarget(Environment):
    """Capture Target with macro-actions (sections 1 to 5)."""

    actions: tuple[str, ...] = ("move to target", "stay")
    legend = "ring: sees the target   x: cell it remembers"

    def __init__(
        self, num_agents: int, *, grid: int = 10, horizon: int = 60, slip: float = 0.1, flicker: float = 0.3
    ):
        """`grid` is the side of the torus; `slip` (left and right together) and `flicker` are probabilities.

        Raises ValueError, in one line, for values out of range.
        """
        num_agents, grid = python_value(num_agents), python_value(grid)
        if not fits(num_agents, int) or num_agents not in AGENTS:
            raise ValueError(f"num_agents is {num_agents!r}, but must be an integer from 2 to 10")
        if not fits(grid, int) or grid not in range(3, LARGEST_GRID + 1):
            raise ValueError(f"grid is {grid!r}, but must be an integer from 3 to {LARGEST_GRID}")
        for name, probability in (("slip", slip), ("flicker", flicker)):
            check_option(name, probability, float)
            if not 0 <= probability <= 1:
                raise ValueError(f"{name} is {probability!r}, but must be a probability, from 0 to 1")
        self.grid, self.slip, self.flicker = int(grid), float(slip), float(flicker)
        self.obs_scale = self._obs_scale()
        super().__init__(
            action_names=[self.actions] * num_agents,
            obs_sizes=[4] * num_agents,
            state_size=2 * num_agents + 2,
            horizon=horizon,
            # Of half the scale: -1, for a hidden target, need not be a multiple of the whole one.
            obs_multiples=Multiples((self.obs_scale / 2,) * 4, largest=2 * self.grid),
            state_multiples=Multiples((1 / self.grid,) * (2 * num_agents + 2), largest=self.grid),
        )

    def _obs_scale(self) -> float:
        """Factor of cells in observations."""
        return 1 / self.grid

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """Always move to the target: no better plan without looking is known."""
        return ((MOVE_TO_TARGET,),) * self.num_agents

    def initial_physics(self, key: PRNGKeyArray) -> Physics:
        """Uniform cells, drawn independently; capture is not tested before the first step (section 2)."""
        cell_key, noise_key = jax.random.split(key)
        cells = jax.random.randint(cell_key, (self.num_agents + 1, 2), 0, self.grid, jnp.int32)
        return self._place(cells[:-1], cells[-1], self.sample_noise(noise_key).visible)

    def _place(self, agent_cells: ArrayLike, target_cell: ArrayLike, visible: ArrayLike) -> Physics:
        cells, target = jnp.asarray(agent_cells, jnp.int32), jnp.asarray(target_cell, jnp.int32)
        never = jnp.full(self.num_agents, -1, jnp.int32)
        return Physics(
            agents=Cells(cells[:, 0], cells[:, 1]),
            target=Cells(target[0], target[1]),
            visible=jnp.asarray(visible, bool),
            last_seen=Cells(never, never),
        )

    def initial(
        self,
        agent_cells: Int[ArrayLike, "agents 2"],
        target_cell: Int[ArrayLike, "2"],
        visible: Bool[ArrayLike, "agents"],
    ) -> tuple[EnvState, TimeStep]:
        """Start from the agents' cells and the target's (x, y), and who sees the target."""
        return self.begin(self._place(agent_cells, target_cell, visible))

    def sample_noise(self, key: PRNGKeyArray) -> Noise:
        """All draws of a step."""
        return sample_noise(key, self.num_agents, self.slip, self.flicker)

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Noise
    ) -> tuple[Physics, Outcome]:
        """Every agent stays or takes a step towards its goal (section 4), then the target moves (section 5)."""
        del started
        moves = macro_actions != STAY
        goals = select(physics.visible, physics.target, physics.last_seen)
        walks = moves & (goals.x >= 0)  # with no goal a move to the target ends at once
        best = best_direction(self.grid, physics.agents, goals, noise.direction_priority)
        agents = walk(self.grid, physics.agents, jnp.where(walks, best, STILL), noise.slip)
        # Only a move to the target remembers; where the target is hidden, `goals` is what it remembered before.
        physics = physics.replace(agents=agents, last_seen=select(moves, goals, physics.last_seen))
        return self._finish(physics, ~walks | agents.same(goals), macro_actions, noise)

    def _finish(
        self, physics: Physics, ended: Bool[Array, "agents"], macro_actions: Int[Array, "agents"], noise: Noise
    ) -> tuple[Physics, Outcome]:
        """The target moves unless all agents stand on it; with all agents on its cell then, it is captured."""
        frozen = physics.agents.same(physics.target).all()
        moved = walk(self.grid, physics.target, noise.target_direction, jnp.int32(INTENDED))
        target = select(frozen, physics.target, moved)
        captured = physics.agents.same(target).all()
        physics = physics.replace(target=target, visible=noise.visible)
        return physics, Outcome(ended, macro_actions, captured.astype(jnp.float32), captured)

    def observe(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """Own cell and the target's, or (-1, -1) while hidden (section 3)."""
        scaled = jax.tree.map(lambda k: exact_product(k, self.obs_scale), (physics.agents, physics.target))
        agents, target = scaled
        shown = [jnp.where(physics.visible, k, -1.0) for k in (target.x, target.y)]
        return jnp.stack([agents.x, agents.y, *shown], axis=1)

    def success(self, physics: Physics) -> Bool[Array, ""]:
        """Whether the target is captured: all agents are in its cell."""
        return physics.agents.same(physics.target).all()

    def global_state(self, physics: Physics) -> Float[Array, "state"]:
        """The true cells of all agents, then of the target, over `grid` (section 7)."""
        x, y = (jnp.append(a, b) for a, b in axes(physics.agents, physics.target))
        return exact_product(jnp.stack([x, y], axis=1).ravel(), 1 / self.grid)

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw the torus with target and agents, and what the agents are doing below it."""
        draw_torus(self.grid, self.legend, state.physics, ax)
        draw_caption(self, state, ax)
