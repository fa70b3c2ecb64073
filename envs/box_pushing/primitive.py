"""Primitive-action versions: every action lasts one primitive step, so every agent chooses at every step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxmac.envs.box_pushing.environment import UP, BoxPushing, Physics, Robots, Rows
from jaxmac.envs.environment import Outcome

FORWARD, TURN_LEFT, TURN_RIGHT, STAY = range(4)


class PrimitiveBoxPushing(BoxPushing):
    """Box Pushing with the actions forward, turn left, turn right and stay (its specification, section 7)."""

    actions = ("forward", "turn left", "turn right", "stay")

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
        sticky_joint: bool = True,
        horizon_is_terminal: bool = False,
    ):
        """As `BoxPushing`.

        With `sticky_joint` robots that once pushed the big box together rise for ever (bug P1); without, they
        must push together anew at each step.
        """
        self.sticky_joint = sticky_joint
        super().__init__(
            size,
            big_box_reward=big_box_reward,
            small_box_reward=small_box_reward,
            penalty=penalty,
            step_reward=step_reward,
            horizon=horizon,
            num_agents=num_agents,
            random_init=random_init,
            horizon_is_terminal=horizon_is_terminal,
        )

    def transition(
        self, physics: Physics, macro_actions: Array, started: Array, noise: Any
    ) -> tuple[Physics, Outcome]:
        """Trigger joint pushes, move the robots in index order, then the big box, then test the goal row."""
        del started, noise
        robots, rows = physics.robots.split(), [physics.rows[k] for k in range(3)]
        if not self.sticky_joint:
            robots = [robot.replace(joint=jnp.bool_(False)) for robot in robots]
        ready = [
            (macro_actions[i] == FORWARD) & (robot.heading == UP) & (robot.y == rows[2] - 1)
            for i, robot in enumerate(robots)
        ]
        left = [ready[i] & (robot.x == self.columns[2]) for i, robot in enumerate(robots)]
        right = [ready[i] & (robot.x == self.columns[3]) for i, robot in enumerate(robots)]
        robots = self._join(robots, left, right)
        lifted = jnp.stack(left).any() & jnp.stack(right).any()
        fines = 0
        for i in range(self.num_agents):
            robots[i], rows, fined = self._act(robots[i], rows, macro_actions[i])
            fines = fines + fined
        rows[2] = rows[2] + lifted
        return self._finish(robots, rows, jnp.ones(self.num_agents, bool), macro_actions, fines)

    def _act(self, robot: Robots, rows: Rows, action: Array) -> tuple[Robots, Rows, Array]:
        """One action of one robot: the robot, the box rows, number of penalties."""
        solo = ~robot.joint
        moving = solo & (action == FORWARD)
        x, y = robot.ahead()
        outside = moving & ((x < 0) | (x >= self.size) | (y < 0) | (y >= self.size))
        # Bug P2: a robot inside a box that bumps into the wall is thrown back as well, and pays twice.
        moved, rows, _, _, fines = self._meet_boxes(robot.forward(moving & ~outside), rows, moving)
        turn = jnp.where(action == TURN_LEFT, 3, jnp.where(action == TURN_RIGHT, 1, 0))
        heading = (robot.heading + jnp.where(solo, turn, 0)) & 3
        return moved.replace(y=moved.y + robot.joint, heading=heading), rows, fines + outside

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """As the optimal plans with macro-actions."""
        if self.optimal_return is None:
            return None
        aside = self.columns[2] - self.columns[0]
        inwards, wait = (FORWARD,) * aside, (STAY,) * aside
        if self.num_agents == 2:
            return (*inwards, TURN_LEFT, FORWARD), (*inwards, TURN_RIGHT, FORWARD)
        return (*wait, TURN_LEFT, FORWARD), (*inwards, TURN_RIGHT, FORWARD), (*wait, STAY, FORWARD)

    def observe_initial(self, physics: Physics) -> Array:
        """No quirk Q8 here: what is really in front."""
        return self.observe(physics)
