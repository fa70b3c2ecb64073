"""Box Pushing with primitive actions: every action lasts one step, so every robot chooses at every step.

Source: docs/specifications/box_pushing.md, section 7, bugs P1 and P2 of the reference program included.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

from jaxmac.envs.box_pushing import plans
from jaxmac.envs.box_pushing.controllers import meet_boxes
from jaxmac.envs.box_pushing.environment import CORL19, NEURIPS22, BoxPushing
from jaxmac.envs.box_pushing.layout import UP
from jaxmac.envs.box_pushing.state import Physics, Robots, Rows
from jaxmac.envs.environment import Outcome

FORWARD, TURN_LEFT, TURN_RIGHT, STAY = range(4)


class PrimitiveBoxPushing(BoxPushing):
    """Box Pushing with the actions forward, turn left, turn right and stay."""

    actions = ("forward", "turn left", "turn right", "stay")
    presets = {"neurips22": NEURIPS22, "corl19": {**CORL19, "sticky_joint": False}}

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

        With `sticky_joint` robots that have pushed the big box together once rise for the rest of the episode,
        whatever they choose (bug P1); without, they must push together anew at each step.
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

    def _rise(self, horizon: int) -> int:
        """With bug P1 a cell in each step, out of the grid."""
        return horizon if self.sticky_joint else super()._rise(horizon)

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Physics, Outcome]:
        """Start joint pushes, move the robots in the order of their numbers, then the big box."""
        del started, noise
        robots, rows = physics.robots.split(), [physics.rows[k] for k in range(3)]
        if not self.sticky_joint:
            robots = [robot.replace(joint=jnp.bool_(False)) for robot in robots]
        ready = [
            (macro_actions[i] == FORWARD) & (robot.heading == UP) & (robot.y == rows[2] - 1)
            for i, robot in enumerate(robots)
        ]
        _, _, big_left, big_right = self.layout.columns
        left = [ready[i] & (robot.x == big_left) for i, robot in enumerate(robots)]
        right = [ready[i] & (robot.x == big_right) for i, robot in enumerate(robots)]
        robots = self._join(robots, left, right)
        lifted = jnp.stack(left).any() & jnp.stack(right).any()
        penalties = []
        for i in range(self.num_agents):
            robots[i], rows, robot_penalties = self._act(robots[i], rows, macro_actions[i])
            penalties.append(robot_penalties)
        rows[2] = rows[2] + lifted
        return self._finish(robots, rows, jnp.ones(self.num_agents, bool), macro_actions, penalties)

    def _act(self, robot: Robots, rows: Rows, action: Int[Array, ""]) -> tuple[Robots, Rows, Int[Array, ""]]:
        """One action of one robot: the robot, the box rows, number of penalties."""
        alone = ~robot.joint
        moving = alone & (action == FORWARD)
        x, y = robot.ahead()
        outside = moving & ((x < 0) | (x >= self.size) | (y < 0) | (y >= self.size))
        # Bug P2: a robot inside a box that bumps into the wall is thrown back as well, and pays twice.
        moved, rows, _, _, penalties = meet_boxes(self.layout, robot.forward(moving & ~outside), rows, moving)
        turn = jnp.where(action == TURN_LEFT, 3, jnp.where(action == TURN_RIGHT, 1, 0))
        heading = (robot.heading + jnp.where(alone, turn, 0)) & 3
        return moved.replace(y=moved.y + robot.joint, heading=heading), rows, penalties + outside

    def _plan(self) -> plans.Plan:
        return plans.primitive_plan(self.layout, self.num_agents)

    def _small_boxes_plan(self) -> plans.Plan:
        return plans.primitive_small_boxes_plan(self.num_agents)

    def observe_initial(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """What is really in front: quirk Q8 is the macro version's alone."""
        return self.observe(physics)


BoxPushing.primitive_version = PrimitiveBoxPushing  # so that one line registers both
