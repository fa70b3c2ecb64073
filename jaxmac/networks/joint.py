"""The team as one agent: joint macro-observations and joint macro-actions of a centralised network."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmac.networks.choice import feasible_set

MOST_JOINT_ACTIONS = 2**16  # the most joint macro-actions for which a network may have outputs


class JointSpace(NamedTuple):
    """Sizes of the agents of a team; joint macro-actions are numbered row-major, agent 0 most significant."""

    num_actions: tuple[int, ...]
    obs_sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of joint macro-actions."""
        return math.prod(self.num_actions)

    def observation(self, obs: Float[Array, "*rows agents obs"]) -> Float[Array, "*rows joint"]:
        """The agents' observations side by side, without their padding."""
        return jnp.concatenate([obs[..., i, :size] for i, size in enumerate(self.obs_sizes)], axis=-1)

    def decode(self, index: Int[Array, "*rows"]) -> Int[Array, "*rows agents"]:
        """Each agent's macro-action in the joint macro-action with this number, int32 `[..., agents]`."""
        parts = np.stack(np.unravel_index(np.arange(self.size), self.num_actions), axis=-1).astype(np.int32)
        return jnp.asarray(parts)[index]

    def encode(self, macro_actions: Int[Array, "*rows agents"]) -> Int[Array, "*rows"]:
        """The number of the joint macro-action that consists of these macro-actions, int32."""
        strides = np.cumprod([1, *self.num_actions[:0:-1]])[::-1].astype(np.int32)
        return jnp.sum(macro_actions * jnp.broadcast_to(strides, macro_actions.shape), axis=-1, dtype=jnp.int32)

    def allowed(
        self,
        available: Bool[Array, "*rows agents actions"],
        choosing: Bool[Array, "*rows agents"],
        running: Int[Array, "*rows agents"],
    ) -> Bool[Array, "*rows joint"]:
        """Joint macro-actions of feasible ones: available where an agent chooses, else the one that it runs.

        None is allowed only where an agent that chooses has none available (docs/specifications/value_based.md,
        section 5.2).
        """
        free = feasible_set(available, choosing, running)
        joint = free[..., 0, : self.num_actions[0]]
        for agent, count in enumerate(self.num_actions[1:], start=1):
            joint = (joint[..., None] & free[..., agent, None, :count]).reshape(*joint.shape[:-1], -1)
        return joint


def make_joint_space(num_actions: tuple[int, ...], obs_sizes: tuple[int, ...]) -> JointSpace:
    """The team with these sizes.

    Raises ValueError, in one line, for more than MOST_JOINT_ACTIONS joint macro-actions.
    """
    joint = JointSpace(tuple(num_actions), tuple(obs_sizes))
    if joint.size > MOST_JOINT_ACTIONS:
        product = " x ".join(map(str, num_actions))
        raise ValueError(
            f"{joint.size:,} joint macro-actions ({product}) are too many for a network; "
            f"it has {MOST_JOINT_ACTIONS:,} at most. Algorithms without a joint output: mac-dec-q, mac-iac, "
            "mac-niacc, mac-iaicc, mac-ippo, mac-mappo, avf-*, tomacvf-*"
        )
    return joint
