"""Overcooked with primitive actions (docs/specifications/overcooked.md, sections 5 to 7)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.envs.environment import Outcome
from jaxmac.envs.overcooked.environment import Overcooked
from jaxmac.envs.overcooked.layout import PRIMITIVE_ACTIONS
from jaxmac.envs.overcooked.plans import PRIMITIVE_PLANS, Plan
from jaxmac.envs.overcooked.state import Physics


class PrimitiveOvercooked(Overcooked):
    """Overcooked with the actions right, down, left, up and stay; agents observe what they believe."""

    _observes_beliefs = True

    def _actions(self) -> tuple[str, ...]:
        return PRIMITIVE_ACTIONS

    def _plan(self) -> Plan | None:
        return PRIMITIVE_PLANS[self.layout.map_type]  # its course does not depend on what is seen

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Physics, Outcome]:
        """Walk, handle items, look around."""
        del started, noise
        physics, reward, terminal = self._act(physics, macro_actions)
        return physics, Outcome(jnp.ones(self.num_agents, bool), macro_actions, reward, terminal)

    def observe(self, physics: Physics) -> Float[Array, "agents obs"]:
        """What each agent believes."""
        return self.believed(physics)


Overcooked.primitive_version = PrimitiveOvercooked  # so that one line registers both
