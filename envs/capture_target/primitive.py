"""Capture Target with primitive actions (docs/specifications/capture_target.md, section 6)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxmac.envs.capture_target.environment import CaptureTarget
from jaxmac.envs.capture_target.noise import Noise
from jaxmac.envs.capture_target.state import Physics
from jaxmac.envs.capture_target.torus import walk
from jaxmac.envs.environment import Outcome


class PrimitiveCaptureTarget(CaptureTarget):
    """Capture Target with the actions north, south, west, east and stay."""

    actions = ("north", "south", "west", "east", "stay")
    legend = "ring: sees the target"

    def _obs_scale(self) -> float:
        return 2 / (self.grid - 1)

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """None: without looking at the target no plan catches it."""
        return None

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Noise
    ) -> tuple[Physics, Outcome]:
        """Every agent takes its step, which may slip, then the target moves."""
        del started
        physics = physics.replace(agents=walk(self.grid, physics.agents, macro_actions, noise.slip))
        return self._finish(physics, jnp.ones(self.num_agents, bool), macro_actions, noise)


CaptureTarget.primitive_version = PrimitiveCaptureTarget  # so that one line registers both
