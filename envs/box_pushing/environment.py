"""Box Pushing: robots push two small boxes, or two together one big box, to the far side of a square grid.

* Observation, 5 bits about the cell in front: small box, big box, empty, wall, other robot.
* Macro-actions: go to one of four waypoints (below small box 0, small box 1, the left and the right half of
  the big box), push, turn left, turn right, stay. All can always start; go-to and push last several steps.
* Reward: `step_reward` each step; `penalty` for each robot that pushes the border, the big box alone, or a
  small box sideways or down; `small_box_reward` or `big_box_reward` for each box that reaches the goal row.
* End: a box reaches the goal row.

Source: the Box Pushing specification, quirks Q1 to Q8 included; "section" below means its sections.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxmac.envs.environment import Environment, EnvState, Outcome, TimeStep

UP, RIGHT, DOWN, LEFT = range(4)
DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (columns, rows) of the four headings
MACRO_ACTIONS = (
    *("go to small box 0", "go to small box 1", "go to big box (left)", "go to big box (right)"),
    *("push", "turn left", "turn right", "stay"),
)
PUSH, TURN_LEFT, TURN_RIGHT, STAY = 4, 5, 6, 7
BLOCKED = 1_000_000  # score of a cell the go-to controller may not enter
Rows = list[Array]  # of small box 0, small box 1 and the big box


@struct.dataclass
class Robots:
    """The robots, each field `[N]`."""

    x: Array  # i32: column
    y: Array  # i32: row; never clipped (quirk Q2)
    heading: Array  # i32: up, right, down, left
    waypoint: Array  # i32: where its last go-to finished, -1 before (quirk Q1: never cleared)
    joint: Array  # bool: takes part in a joint push

    def ahead(self) -> tuple[Array, Array]:
        """The cell in front (column, row)."""
        dx = (self.heading == RIGHT).astype(jnp.int32) - (self.heading == LEFT).astype(jnp.int32)
        dy = (self.heading == UP).astype(jnp.int32) - (self.heading == DOWN).astype(jnp.int32)
        return self.x + dx, self.y + dy

    def forward(self, where: Array) -> Robots:
        """One cell forward `where` True, whatever is there."""
        x, y = self.ahead()
        return self.replace(x=jnp.where(where, x, self.x), y=jnp.where(where, y, self.y))

    def back(self, where: Array) -> Robots:
        """One cell against the heading `where` True, whatever is there."""
        x, y = self.ahead()
        return self.replace(x=jnp.where(where, 2 * self.x - x, self.x), y=jnp.where(where, 2 * self.y - y, self.y))

    def split(self) -> list[Robots]:
        """The robots one by one."""
        return [jax.tree.map(lambda field, i=i: field[i], self) for i in range(self.x.shape[0])]

    @staticmethod
    def merge(robots: list[Robots]) -> Robots:
        """Undo `split`."""
        return jax.tree.map(lambda *fields: jnp.stack(fields), *robots)


@struct.dataclass
class Physics:
    """The robots, and the rows of small box 0, small box 1 and the big box, i32 `[3]` (columns are fixed)."""

    robots: Robots
    rows: Array


class BoxPushing(Environment):
    """Box Pushing with macro-actions (sections 1 to 6)."""

    actions = MACRO_ACTIONS

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
        distance: Literal["manhattan", "euclidean"] = "manhattan",
        horizon_is_terminal: bool = False,
    ):
        """`size` is the side of the grid, even, from 4 to 30; `penalty` and `step_reward` are signed.

        With `random_init` robots 0 and 1 start in random cells below the waypoints. `distance` is what go-to
        minimises. Raises ValueError, in one line, for values out of range.
        """
        if size not in range(4, 31, 2):
            raise ValueError(f"size is {size!r}, but must be an even integer from 4 to 30")
        if num_agents not in (2, 3):
            raise ValueError(f"num_agents is {num_agents!r}, but must be 2 or 3")
        if distance not in ("manhattan", "euclidean"):
            raise ValueError(f"distance is {distance!r}, but must be 'manhattan' or 'euclidean'")
        self.size, self.goal_row, self.waypoint_row = size, size - 1, size // 2 - 1
        margin = int(size >= 8)
        self.columns = (
            margin,
            size - 1 - margin,
            size // 2 - 1,
            size // 2,
        )  # of the waypoints, and of the boxes
        self.big_box_reward, self.small_box_reward = big_box_reward, small_box_reward
        self.penalty, self.step_reward = penalty, step_reward
        self.random_init, self.distance = random_init, distance
        super().__init__(
            action_names=[self.actions] * num_agents,
            obs_sizes=[5] * num_agents,
            state_size=6 * num_agents + 6,
            horizon=horizon,
            horizon_is_terminal=horizon_is_terminal,
            obs_dtype=np.uint8,
        )
        self.optimal_return = self._optimal_return()

    def shortest_success(self) -> int:
        """Fewest primitive steps that bring the big box home from the fixed start (section 10)."""
        detour = 2 if self.distance == "euclidean" and self.size >= 8 else 0
        return (self.size if self.size < 8 else 3 * self.size // 2 - 4) + detour

    def _optimal_return(self) -> float | None:
        """Best undiscounted return where section 10 proves it: fixed start, enough time, the usual signs."""
        steps, small_steps = self.shortest_success(), 3 if self.size == 4 else self.size - 2
        usual = min(self.big_box_reward, self.small_box_reward, -self.penalty, -self.step_reward) >= 0
        unproven = self.random_init or (self.distance == "euclidean" and self.num_agents == 3)
        if unproven or not usual or self.horizon < steps:
            return None
        big = self.big_box_reward + (self.num_agents - 2) * self.small_box_reward + self.step_reward * steps
        return max(big, 2 * self.small_box_reward + self.step_reward * small_steps)

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """The optimal plans of section 10: the big box, with three robots and small box 0 at the same time."""
        if self.optimal_return is None:
            return None
        if self.num_agents == 2:
            detour = self.distance == "euclidean" and self.size >= 12
            return ((0, 2, PUSH), (1, 3, PUSH)) if detour else ((2, PUSH), (3, PUSH))
        # Robots 0 and 2 only turn and climb, so they wait for robot 1, which comes from the side.
        climb, together = self.waypoint_row - int(self.size > 4), self.shortest_success() - self.goal_row // 2
        return (0, *(STAY,) * (together - climb - 1), PUSH), (3, PUSH), (2, *(STAY,) * (together - climb), PUSH)

    def initial_physics(self, key: Array) -> Physics:
        """Fixed start of section 1, or random cells and headings for robots 0 and 1."""
        row = int(self.size > 4)
        cells = jnp.array([(self.columns[0], row), (self.columns[1], row), (self.columns[2], row)])
        headings = jnp.array([RIGHT, LEFT, UP])
        cells, headings = cells[: self.num_agents], headings[: self.num_agents]
        if self.random_init:
            of_cell, of_heading = jax.random.split(key)
            bounds = jnp.array([self.size, self.waypoint_row])
            cells = cells.at[:2].set(jax.random.randint(of_cell, (2, 2), 0, bounds))
            headings = headings.at[:2].set(jax.random.randint(of_heading, (2,), 0, 4))
        return self._place(cells, headings)

    def _place(self, cells: Array, headings: Array) -> Physics:
        cells = jnp.asarray(cells, jnp.int32)
        robots = Robots(
            x=cells[:, 0],
            y=cells[:, 1],
            heading=jnp.asarray(headings, jnp.int32),
            waypoint=jnp.full(self.num_agents, -1, jnp.int32),
            joint=jnp.zeros(self.num_agents, bool),
        )
        return Physics(robots, jnp.full(3, self.size // 2, jnp.int32))

    def initial(self, cells: Array, headings: Array) -> tuple[EnvState, TimeStep]:
        """Start from `cells` `[N, 2]` (column, row) and `headings` `[N]` (0 up, 1 right, 2 down, 3 left)."""
        return self.begin(self._place(cells, headings))

    def transition(
        self, physics: Physics, macro_actions: Array, started: Array, noise: Any
    ) -> tuple[Physics, Outcome]:
        """Trigger joint pushes, move the robots in index order, then the big box, then test the goal row."""
        del noise
        actions = [macro_actions[i] for i in range(self.num_agents)]
        robots = self._trigger(physics.robots.split(), actions, started)
        rows = [physics.rows[k] for k in range(3)]
        ended, fines = [], 0
        for i, action in enumerate(actions):
            robots[i], rows, done, fined = self._move(robots[i], rows, action)
            ended.append(done)
            fines = fines + fined
        lifted = sum(robot.joint for robot in robots) > 0
        rows[2] = rows[2] + lifted
        home = lifted & (rows[2] == self.goal_row)
        ended = [done | robot.joint & home for done, robot in zip(ended, robots, strict=True)]
        return self._finish(robots, rows, jnp.stack(ended), macro_actions, fines)

    def _finish(
        self, robots: list[Robots], rows: Rows, ended: Array, macro_actions: Array, fines: Array
    ) -> tuple[Physics, Outcome]:
        """Goal test: every box on the goal row pays, and ends the episode."""
        home = jnp.stack(rows) == self.goal_row
        pay = jnp.array([self.small_box_reward, self.small_box_reward, self.big_box_reward])
        reward = self.step_reward + self.penalty * fines + jnp.where(home, pay, 0).sum()
        # A joint push needs no override: its robots started it as Push and cannot choose before it ends.
        return Physics(Robots.merge(robots), jnp.stack(rows)), Outcome(ended, macro_actions, reward, home.any())

    def _trigger(self, robots: list[Robots], actions: list[Array], started: Array) -> list[Robots]:
        """Two robots that start to push together, facing up, with both big-box spots in memory, push it."""
        ready = [(action == PUSH) & started[i] & (robots[i].heading == UP) for i, action in enumerate(actions)]
        left = [ready[i] & (robot.waypoint == 2) for i, robot in enumerate(robots)]
        right = [ready[i] & (robot.waypoint == 3) for i, robot in enumerate(robots)]
        return self._join(robots, left, right)

    def _join(self, robots: list[Robots], left: list[Array], right: list[Array]) -> list[Robots]:
        """Mark every pair of one robot at the left and one at the right of the big box as joint pushers."""
        joint = [robot.joint for robot in robots]
        for i, j in combinations(range(self.num_agents), 2):
            pair = left[i] & right[j] | right[i] & left[j]
            joint[i], joint[j] = joint[i] | pair, joint[j] | pair
        return [robot.replace(joint=flag) for robot, flag in zip(robots, joint, strict=True)]

    def _move(self, robot: Robots, rows: Rows, action: Array) -> tuple[Robots, Rows, Array, Array]:
        """One step of one robot: the robot, the box rows, whether its macro-action ended, penalties."""
        goes, pushes, solo = action < PUSH, action == PUSH, ~robot.joint
        walked, arrived = self._go_to(robot, rows, action)
        pushed, rows, stopped, fines = self._push(robot, rows, pushes & solo)
        turn = jnp.where(action == TURN_LEFT, 3, jnp.where(action == TURN_RIGHT, 1, 0))
        heading = jnp.where(goes, walked.heading, (robot.heading + turn) & 3)
        moved = Robots(
            x=jnp.where(goes, walked.x, pushed.x),
            y=jnp.where(goes, walked.y, pushed.y + robot.joint),
            heading=heading,
            waypoint=jnp.where(goes & arrived, action, robot.waypoint),
            joint=robot.joint,
        )
        return moved, rows, jnp.where(goes, arrived, jnp.where(pushes, solo & stopped, True)), fines

    def _go_to(self, robot: Robots, rows: Rows, target: Array) -> tuple[Robots, Array]:
        """One step of the go-to controller (section 3.1): the robot, and whether it has arrived."""
        left, right, big_left, big_right = self.columns
        small, big = jnp.where(target == 0, left, right), jnp.where(target == 2, big_left, big_right)
        column = jnp.where(target < 2, small, big)
        there = (robot.x == column) & (robot.y == self.waypoint_row)
        best, lowest = 0, BLOCKED + 1
        for k, (dx, dy) in enumerate(DIRECTIONS):
            x, y = robot.x + dx, robot.y + dy
            quarter_turns = 2 - jnp.abs(((k - robot.heading) & 3) - 2)
            score = self._score(column - x, self.waypoint_row - y, quarter_turns)
            # Quirk Q3: the obstacles' row is that of small box 0, wherever the other boxes are.
            score = jnp.where((y == rows[0]) & self._in_columns(x), BLOCKED, score)
            best, lowest = jnp.where(score < lowest, k, best), jnp.minimum(score, lowest)
        turn = (best - robot.heading) & 3
        moved = robot.forward((turn == 0) & ~there)
        heading = jnp.where(turn == 2, (robot.heading + 1) & 3, best)
        heading = jnp.where(there, UP, heading)  # quirk Q5: whatever the angle
        arrived = (moved.x == column) & (moved.y == self.waypoint_row) & (heading == UP)
        return moved.replace(heading=heading), arrived

    def _score(self, dx: Array, dy: Array, turn: Array) -> Array:
        """Distance left after a step plus a tenth per quarter turn; in tenths for the Manhattan distance."""
        if self.distance == "euclidean":
            return jnp.sqrt((dx * dx + dy * dy).astype(jnp.float32)) + 0.1 * turn
        return 10 * (jnp.abs(dx) + jnp.abs(dy)) + turn

    def _in_columns(self, x: Array) -> Array:
        """Is this one of the four columns with a box?"""
        left, right, big_left, big_right = self.columns
        return (x == left) | (x == right) | (x == big_left) | (x == big_right)

    def _push(self, robot: Robots, rows: Rows, active: Array) -> tuple[Robots, Rows, Array, Array]:
        """One step of a solo push (section 3.2): the robot, the box rows, whether it stopped, penalties."""
        at_border = self._faces_border(robot)
        moving = active & ~at_border
        robot, rows, pushed, home, fines = self._meet_boxes(robot.forward(moving), rows, moving)
        stopped = at_border | home | (fines > 0) | ~pushed & self._faces_border(robot)
        return robot, rows, stopped, fines + (active & at_border)

    def _faces_border(self, robot: Robots) -> Array:
        """Is the robot on the border cell it faces? Equality tests, so never outside the grid (quirk Q2)."""
        x, y, heading, last = robot.x, robot.y, robot.heading, self.size - 1
        vertical = (heading == UP) & (y == last) | (heading == DOWN) & (y == 0)
        return vertical | (heading == RIGHT) & (x == last) | (heading == LEFT) & (x == 0)

    def _meet_boxes(self, robot: Robots, rows: Rows, moving: Array) -> tuple[Robots, Rows, Array, Array, Array]:
        """Boxes in the robot's cell move up or throw it back: robot, rows, moved, home, times thrown back.

        One box after the other against the current cell, so a robot can be thrown back twice (quirk Q4).
        """
        rows, pushed, home, fines = list(rows), jnp.bool_(False), jnp.bool_(False), jnp.int32(0)
        for k, columns in enumerate((self.columns[:1], self.columns[1:2], self.columns[2:])):
            inside = moving & (robot.y == rows[k]) & ((robot.x == columns[0]) | (robot.x == columns[-1]))
            lifts = inside & (robot.heading == UP) & (k < 2)
            rows[k] = rows[k] + lifts
            pushed, home = pushed | lifts, home | lifts & (rows[k] == self.goal_row)
            robot, fines = robot.back(inside & ~lifts), fines + (inside & ~lifts)
        return robot, rows, pushed, home, fines

    def observe(self, physics: Physics) -> Array:
        """Five bits about the cell in front of each robot (section 5)."""
        robots, (row0, row1, row2) = physics.robots, physics.rows
        x, y = robots.ahead()
        small = (x == self.columns[0]) & (y == row0) | (x == self.columns[1]) & (y == row1)
        big = ((x == self.columns[2]) | (x == self.columns[3])) & (y == row2)
        wall = (x < 0) | (x >= self.size) | (y < 0) | (y >= self.size)
        # A robot is never in front of itself, so it needs no exception.
        other = ((x[:, None] == robots.x) & (y[:, None] == robots.y)).any(1)
        return jnp.stack([small, big, ~(small | big | wall | other), wall, other], axis=1)

    def observe_initial(self, physics: Physics) -> Array:
        """Quirk Q8: an empty cell whatever is there, but for robot 0 of three on the smallest grid."""
        obs = np.zeros((self.num_agents, 5), np.uint8)
        obs[:, 2] = 1
        if self.size == 4 and self.num_agents == 3:
            obs[0] = (0, 0, 0, 0, 1)
        return jnp.array(obs)

    def success(self, physics: Physics) -> Array:
        """The big box is on the goal row, whatever it pays."""
        return physics.rows[2] == self.goal_row

    def global_state(self, physics: Physics) -> Array:
        """Robots' column, row, heading (one-hot), then boxes' column, row; over `size` (section 6)."""
        robots, rows = physics.robots, physics.rows
        place = (jnp.stack([robots.x, robots.y], 1) + 0.5) / self.size
        per_robot = jnp.concatenate([place, jax.nn.one_hot(robots.heading, 4)], 1)
        columns = jnp.array([self.columns[0] + 0.5, self.columns[1] + 0.5, self.size / 2])
        boxes = jnp.stack([columns, rows + 0.5], 1) / self.size
        return jnp.concatenate([per_robot.ravel(), boxes.ravel()])

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw goal row (green), waypoints (crosses), boxes (gold at home), robots, and what they are doing."""
        from jaxmac.envs.rendering import draw_box, draw_caption, draw_grid, draw_robots

        draw_grid(ax, self.size, self.size)
        draw_box(ax, (self.size - 1) / 2, self.goal_row, self.size, 1, "#d5ecd0", zorder=0)
        ax.text(-0.4, self.goal_row, "goal", fontsize=7, color="#3c7a32", va="center")
        ax.plot(self.columns, [self.waypoint_row] * 4, "x", markersize=4, color="#909090", zorder=2)
        left, right, big_left, big_right = self.columns
        boxes = ((left, 1, "#c8a165"), (right, 1, "#c8a165"), ((big_left + big_right) / 2, 2, "#8a5a2b"))
        for (x, width, colour), y in zip(boxes, state.physics.rows, strict=True):
            colour = "#f2c230" if y == self.goal_row else colour
            draw_box(ax, x, y, width - 0.12, 0.88, colour, edge="#4a3418")
        robots = state.physics.robots
        outside = (-0.8, self.size - 0.2)  # robots that left the grid are drawn just outside
        draw_robots(ax, robots.x.clip(*outside), robots.y.clip(*outside), robots.heading)
        draw_caption(self, state, ax)
