"""Warehouse with primitive actions: every agent chooses at every step.

Source: docs/specifications/warehouse.md, section 13.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxmac.envs.environment import Outcome
from jaxmac.envs.warehouse.environment import Warehouse
from jaxmac.envs.warehouse.layout import Layout
from jaxmac.envs.warehouse.mobiles import destinations
from jaxmac.envs.warehouse.plans import Plan
from jaxmac.envs.warehouse.state import Manipulator, Mobiles, Physics


class PrimitiveWarehouse(Warehouse):
    """Warehouse Tool Delivery with actions of one step; what takes longer is chosen again and again."""

    def __init__(
        self,
        layout: Layout,
        *,
        horizon: int = 150,
        mobile_speed: float = 0.8,
        human_speeds: tuple[tuple[int, ...], ...] | None = None,
        late_penalty: float = -20.0,
        horizon_is_terminal: bool = False,
        primitive: Literal["interruptible", "collapsed"] = "interruptible",
    ):
        """As `Warehouse`.

        `primitive` is what one action does: "interruptible" one step of the macro-action of that name, which the
        agent may leave at any step (the manipulator then has to begin anew); "collapsed" all of it in one step.
        """
        if primitive not in ("interruptible", "collapsed"):
            raise ValueError(f"primitive is {primitive!r}, but must be 'interruptible' or 'collapsed'")
        self.collapsed = primitive == "collapsed"
        super().__init__(
            layout,
            horizon=horizon,
            mobile_speed=mobile_speed,
            human_speeds=human_speeds,
            late_penalty=late_penalty,
            horizon_is_terminal=horizon_is_terminal,
        )

    def _applicable_plan(self) -> Plan | None:
        """None for collapsed actions, whose plans would be shorter."""
        return None if self.collapsed else super()._applicable_plan()

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """The plan for macro-actions, each repeated for as long as it runs."""
        if self._plan is None:
            return None
        plan = self._plan.choices
        macro_version, longest = Warehouse(self.layout, horizon=self.horizon), max(map(len, plan))
        choices = jnp.array([row + row[-1:] * (longest - len(row)) for row in plan])

        def step(carry: tuple[Any, Array], _: None) -> tuple[tuple[Any, Array], Array]:
            state, position = carry  # position `[agents]` of each agent in its plan
            choice = choices[jnp.arange(len(position)), position]
            after, timestep = macro_version.advance(state, choice, ())
            return (after, jnp.minimum(position + state.ended, longest - 1)), timestep.macro_action

        carry = (macro_version.reset(jax.random.key(0))[0], jnp.zeros(self.num_agents, jnp.int32))
        _, running = jax.lax.scan(step, carry, length=self._plan.steps)
        return tuple(map(tuple, running.T.tolist()))

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Physics, Outcome]:
        """As with macro-actions, but the manipulator goes on only if it chooses what it has not finished."""
        manipulator = physics.manipulator
        goes_on = (macro_actions[-1] == manipulator.macro) & (manipulator.left > 0)
        started = jnp.append(started[:-1], ~goes_on)
        physics, outcome = super().transition(physics, macro_actions, started, noise)
        return physics, outcome._replace(ended=jnp.ones(self.num_agents, bool))

    def _location(self, mobiles: Mobiles) -> tuple[Bool[Array, "robots places"], Bool[Array, "robots"]]:
        """Between waypoints a robot reads "nowhere", and sees the staged tools inside the tool room."""
        driving = mobiles.place < 0
        place = jnp.where(driving, self.num_humans + 2, mobiles.place)
        inside = jnp.where(driving, mobiles.x <= self.layout.room_border, mobiles.place >= self.num_humans)
        return jax.nn.one_hot(place, self.num_humans + 3, dtype=bool), inside

    def _drive(self, mobiles: Mobiles, actions: Int[Array, "robots"]) -> tuple[Mobiles, Bool[Array, "robots"]]:
        if not self.collapsed:
            return super()._drive(mobiles, actions)
        x, y = destinations(self.layout, actions)
        # A robot that stood at its table point can be passed a tool: a negative timer, as with macro-actions.
        timer = -((mobiles.place == self.get_tool) & (actions == self.get_tool)).astype(jnp.int32)
        return mobiles.replace(x=x, y=y, place=actions, timer=timer), jnp.ones(self.num_mobiles, bool)

    def _work(
        self, manipulator: Manipulator, mobiles: Mobiles, action: Int[Array, ""], starts: Bool[Array, ""]
    ) -> Manipulator:
        if not self.collapsed:
            return super()._work(manipulator, mobiles, action, starts)
        return manipulator.replace(macro=action)


Warehouse.primitive_version = PrimitiveWarehouse  # so that one line registers both
