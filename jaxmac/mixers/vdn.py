"""VDN: the joint value is the sum of the utilities."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxmac.networks.choice import take_chosen


class VDN(nn.Module):
    """Q_tot = sum_i Q_i; no parameters, no state (mixer specification, section 1)."""

    factorised: ClassVar[bool] = True

    def __call__(
        self,
        q_all: Float[Array, "*rows agents actions"],
        chosen: Int[Array, "*rows agents"],
        feasible: Bool[Array, "*rows agents actions"],
        hidden: Float[Array, "*rows agents features"],
        mixer_state: Float[Array, "*rows state"],
        available: Bool[Array, "*rows agents actions"] | None = None,
    ) -> Float[Array, "*rows"]:
        """Joint value of the running macro-actions; arguments as in `jaxmac.mixers`."""
        return take_chosen(q_all, chosen).sum(axis=-1)
