"""Box Pushing: robots push two small boxes, or two together one big box, to the far side of a square grid.

* Observation, 5 bits about the cell in front: small box, big box, empty, wall, other robot.
* Macro-actions: go to one of four waypoints (below small box 0, small box 1, the left and the right half of
  the big box), push, turn left, turn right, stay. All can always start; go-to and push last several steps.
* Reward: `step_reward` each step; `penalty` for each robot that pushes the border, the big box alone, or a
  small box sideways or down; `small_box_reward` or `big_box_reward` for each box that reaches the goal row.
* End: a box reaches the goal row.

Sources: Xiao, Hoffman and Amato, "Macro-action-based deep multi-agent reinforcement learning", CoRL 2019;
Xiao, Tan and Amato, "Asynchronous actor-critic for multi-agent reinforcement learning", NeurIPS 2022.
Written after docs/specifications/box_pushing.md, whose sections and quirks (Q1 to Q8) the comments name.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxmac.envs.arguments import check_option, fits, python_value
from jaxmac.envs.box_pushing import plans
from jaxmac.envs.box_pushing.controllers import Distance, go_to, push_alone
from jaxmac.envs.box_pushing.drawing import draw_field
from jaxmac.envs.box_pushing.layout import MACRO_ACTIONS, PUSH, TURN_LEFT, TURN_RIGHT, UP, Layout
from jaxmac.envs.box_pushing.state import Physics, Robots, Rows
from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep
from jaxmac.envs.exact import LARGEST_COUNT, exact_product
from jaxmac.envs.multiples import Multiples
from jaxmac.envs.rendering import draw_caption

# Rewards and time limits of the papers' experiments (sections 8 and 9).
NEURIPS22 = {"big_box_reward": 300.0, "small_box_reward": 20.0, "penalty": -10.0, "horizon": 100}
CORL19 = {"big_box_reward": 100.0, "small_box_reward": 10.0, "penalty": -5.0, "horizon_is_terminal": True}


class BoxPushing(Environment):
    """Box Pushing with macro-actions (sections 1 to 6)."""

    actions: tuple[str, ...] = MACRO_ACTIONS
    presets = {"neurips22": NEURIPS22, "corl19": {**CORL19, "distance": "euclidean"}}

    def __init__(
        self,
        size: int,
        *,
        big_box_reward: float = 100.0,
        small_box_reward: float = 10.0,
        penalty: float = -10.0,
        step_reward: float = -0.1,
        horizon: int = 100,
        num_agents: int = 2,
        random_init: bool = False,
        distance: Distance = "manhattan",
        horizon_is_terminal: bool = False,
    ):
        """`size` is the side of the grid, even, from 4 to 30; `penalty` and `step_reward` are added as they are.

        With `random_init` robots 0 and 1 start in random cells below the waypoints. `distance` is what the go-to
        controller minimises. Raises ValueError, in one line, for values out of range.
        """
        size, num_agents = python_value(size), python_value(num_agents)
        if not fits(size, int) or size not in range(4, 31, 2):
            raise ValueError(f"size is {size!r}, but must be an even integer from 4 to 30")
        if not fits(num_agents, int) or num_agents not in (2, 3):
            raise ValueError(f"num_agents is {num_agents!r}, but must be 2 or 3")
        if distance not in ("manhattan", "euclidean"):
            raise ValueError(f"distance is {distance!r}, but must be 'manhattan' or 'euclidean'")
        rewards = {"big_box_reward": big_box_reward, "small_box_reward": small_box_reward}
        for name, value in (rewards | {"penalty": penalty, "step_reward": step_reward}).items():
            check_option(name, value, float)
        self.size, self.layout = size, Layout(size)
        self.big_box_reward, self.small_box_reward = big_box_reward, small_box_reward
        self.penalty, self.step_reward = penalty, step_reward
        self.random_init, self.distance = random_init, distance
        self.half_cell = 1 / (2 * size)  # half the side of a cell in the global state
        super().__init__(
            action_names=[self.actions] * num_agents,
            obs_sizes=[5] * num_agents,
            state_size=6 * num_agents + 6,
            horizon=horizon,
            horizon_is_terminal=horizon_is_terminal,
            obs_dtype=np.uint8,
            state_multiples=self._state_multiples(num_agents, horizon),
        )
        self._returns = self._best_returns()
        self.optimal_return = max(self._returns, default=None)

    def _state_multiples(self, num_agents: int, horizon: int) -> Multiples | None:
        """Places are odd multiples of half a cell, or the middle of the big box; the rest are one-hots.

        None where robots rise further than an exact product reaches.
        """
        largest = 2 * (self.size + self._rise(horizon)) + 1
        half = self.half_cell
        units = (half, half, 1, 1, 1, 1) * num_agents + (half,) * 6
        return Multiples(units, largest) if largest <= LARGEST_COUNT else None

    def _rise(self, horizon: int) -> int:
        """The most cells that a robot can rise above the grid: half the grid, with the big box ahead of it."""
        del horizon
        return self.size // 2

    def _best_returns(self) -> tuple[float, ...]:
        """The best returns with the big box and with both small boxes, empty where section 10 does not prove them.

        It does for the fixed start, enough time and the usual signs of the rewards.
        """
        steps = plans.shortest_success(self.layout, self.distance)
        rewards = self.big_box_reward, self.small_box_reward, self.step_reward
        usual = min(self.big_box_reward, self.small_box_reward, -self.penalty, -self.step_reward) >= 0
        unproven = self.random_init or (self.distance == "euclidean" and self.num_agents == 3)
        if unproven or not usual or self.horizon < steps:
            return ()
        return plans.best_returns(self.layout, self.num_agents, steps, *rewards)

    def script(self) -> plans.Plan | None:
        """The optimal plan of section 10, None where it is not proven to be optimal."""
        if not self._returns:
            return None
        with_big_box, with_small_boxes = self._returns
        return self._plan() if with_big_box >= with_small_boxes else self._small_boxes_plan()

    def _plan(self) -> plans.Plan:
        return plans.macro_plan(self.layout, self.distance, self.num_agents)

    def _small_boxes_plan(self) -> plans.Plan:
        return plans.small_boxes_plan(self.num_agents)

    def initial_physics(self, key: PRNGKeyArray) -> Physics:
        """The fixed start of section 1, or random cells and headings for robots 0 and 1."""
        cells = jnp.array(self.layout.start_cells[: self.num_agents], jnp.int32)
        headings = jnp.array(self.layout.start_headings[: self.num_agents], jnp.int32)
        if self.random_init:
            cell_key, heading_key = jax.random.split(key)
            bounds = jnp.array([self.size, self.layout.waypoint_row], jnp.int32)
            cells = cells.at[:2].set(jax.random.randint(cell_key, (2, 2), 0, bounds[None], jnp.int32))
            headings = headings.at[:2].set(jax.random.randint(heading_key, (2,), 0, 4, jnp.int32))
        return self._place(cells, headings)

    def _place(self, cells: ArrayLike, headings: ArrayLike) -> Physics:
        """Boxes at their start, and robots in `cells` with `headings`."""
        cells = jnp.asarray(cells, jnp.int32)
        robots = Robots(
            x=cells[:, 0],
            y=cells[:, 1],
            heading=jnp.asarray(headings, jnp.int32),
            waypoint=jnp.full(self.num_agents, -1, jnp.int32),
            joint=jnp.zeros(self.num_agents, bool),
        )
        return Physics(robots, jnp.full(3, self.layout.box_row, jnp.int32))

    def initial(
        self, cells: Int[ArrayLike, "agents 2"], headings: Int[ArrayLike, "agents"]
    ) -> tuple[EnvState, TimeStep]:
        """Start from `cells` (column, row) and `headings` (0 up, 1 right, 2 down, 3 left)."""
        return self.begin(self._place(cells, headings))

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Physics, Outcome]:
        """Start joint pushes, move the robots in the order of their numbers, then the big box (section 4)."""
        del noise
        actions = [macro_actions[i] for i in range(self.num_agents)]
        robots = self._start_joint_pushes(physics.robots.split(), actions, started)
        rows = [physics.rows[k] for k in range(3)]
        ended, penalties = [], []
        for i, action in enumerate(actions):
            robots[i], rows, robot_ended, robot_penalties = self._move(robots[i], rows, action)
            ended.append(robot_ended)
            penalties.append(robot_penalties)
        lifted = sum(robot.joint for robot in robots) > 0
        rows[2] = rows[2] + lifted
        home = lifted & (rows[2] == self.layout.goal_row)
        ended = [alone | robot.joint & home for alone, robot in zip(ended, robots, strict=True)]
        return self._finish(robots, rows, jnp.stack(ended), macro_actions, penalties)

    def _finish(
        self,
        robots: list[Robots],
        rows: Rows,
        ended: Bool[Array, "agents"],
        macro_actions: Int[Array, "agents"],
        penalties: list[Int[Array, ""]],
    ) -> tuple[Physics, Outcome]:
        """The goal test: every box on the goal row is paid, and ends the episode."""
        home = jnp.stack(rows) == self.layout.goal_row
        pay = jnp.array([self.small_box_reward, self.small_box_reward, self.big_box_reward], jnp.float32)
        failed = jnp.asarray(sum(penalties), jnp.float32)
        reward = self.step_reward + self.penalty * failed + jnp.where(home, pay, 0).sum()
        # A joint push needs no override: its robots started it as Push and cannot choose before it ends.
        return Physics(Robots.merge(robots), jnp.stack(rows)), Outcome(ended, macro_actions, reward, home.any())

    def _start_joint_pushes(
        self, robots: list[Robots], actions: list[Int[Array, ""]], started: Bool[Array, "agents"]
    ) -> list[Robots]:
        """Two robots that start to push in one step, face up and remember both spots of the big box push it."""
        ready = [(action == PUSH) & started[i] & (robots[i].heading == UP) for i, action in enumerate(actions)]
        left = [ready[i] & (robot.waypoint == 2) for i, robot in enumerate(robots)]
        right = [ready[i] & (robot.waypoint == 3) for i, robot in enumerate(robots)]
        return self._join(robots, left, right)

    def _join(
        self, robots: list[Robots], left: list[Bool[Array, ""]], right: list[Bool[Array, ""]]
    ) -> list[Robots]:
        """Mark every pair of one robot at the left and one at the right of the big box as joint pushers."""
        joint = [robot.joint for robot in robots]
        for i, j in combinations(range(self.num_agents), 2):
            pair = left[i] & right[j] | right[i] & left[j]
            joint[i], joint[j] = joint[i] | pair, joint[j] | pair
        return [robot.replace(joint=flag) for robot, flag in zip(robots, joint, strict=True)]

    def _move(
        self, robot: Robots, rows: Rows, action: Int[Array, ""]
    ) -> tuple[Robots, Rows, Bool[Array, ""], Int[Array, ""]]:
        """One step of one robot: the robot, the box rows, whether its macro-action ended, number of penalties."""
        goes, pushes, alone = action < PUSH, action == PUSH, ~robot.joint
        walked, arrived = go_to(self.layout, self.distance, robot, rows, action)
        pushed, rows, push_ended, penalties = push_alone(self.layout, robot, rows, pushes & alone)
        turn = jnp.where(action == TURN_LEFT, 3, jnp.where(action == TURN_RIGHT, 1, 0))
        heading = jnp.where(goes, walked.heading, (robot.heading + turn) & 3)
        moved = Robots(
            x=jnp.where(goes, walked.x, pushed.x),
            y=jnp.where(goes, walked.y, pushed.y + robot.joint),
            heading=heading,
            waypoint=jnp.where(goes & arrived, action, robot.waypoint),
            joint=robot.joint,
        )
        ended = jnp.where(goes, arrived, jnp.where(pushes, alone & push_ended, True))
        return moved, rows, ended, penalties

    def observe(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """Five bits about the cell in front of each robot (section 5)."""
        robots, (row0, row1, row2) = physics.robots, physics.rows
        x, y = robots.ahead()
        column0, column1, big_left, big_right = self.layout.columns
        small = (x == column0) & (y == row0) | (x == column1) & (y == row1)
        big = ((x == big_left) | (x == big_right)) & (y == row2)
        wall = (x < 0) | (x >= self.size) | (y < 0) | (y >= self.size)
        # A robot is never in front of itself, so it needs no exception.
        other = ((x[:, None] == robots.x[None]) & (y[:, None] == robots.y[None])).any(1)
        return jnp.stack([small, big, ~(small | big | wall | other), wall, other], axis=1)

    def observe_initial(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """Quirk Q8: "empty" whatever is in front, except for robot 0 of three on the smallest grid."""
        obs = np.zeros((self.num_agents, 5), np.uint8)
        obs[:, 2] = 1
        if self.size == 4 and self.num_agents == 3:
            obs[0] = (0, 0, 0, 0, 1)
        return jnp.array(obs)

    def success(self, physics: Physics) -> Bool[Array, ""]:
        """Whether the big box is on the goal row."""
        return physics.rows[2] == self.layout.goal_row

    def global_state(self, physics: Physics) -> Float[Array, "state"]:
        """Column, row and heading (one-hot) of each robot, column and row of each box, over `size` (section 6)."""
        robots, rows, (column0, column1, *_) = physics.robots, physics.rows, self.layout.columns
        place = exact_product(2 * jnp.stack([robots.x, robots.y], 1) + 1, self.half_cell)
        per_robot = jnp.concatenate([place, jax.nn.one_hot(robots.heading, 4, dtype=jnp.float32)], 1)
        columns = jnp.array([2 * column0 + 1, 2 * column1 + 1, self.size], jnp.int32)
        boxes = exact_product(jnp.stack([columns, 2 * rows + 1], 1), self.half_cell)
        return jnp.concatenate([per_robot.ravel(), boxes.ravel()])

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw the grid with boxes and robots, and what the robots are doing below it."""
        draw_field(self.layout, state.physics, ax)
        draw_caption(self, state, ax)
