"""VDN: the joint value is the sum of the utilities.

Paper: Peter Sunehag et al., "Value-Decomposition Networks for Cooperative Multi-Agent Learning", AAMAS 2018.
"""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from jaxmac.mixers.base import MixerInputs, register_mixer
from jaxmac.networks.choice import take_chosen


class VDN(nn.Module):
    """Q_tot = sum_i Q_i, without parameters and without a state (docs/specifications/mixers.md, section 1)."""

    factorised: ClassVar[bool] = True

    def __call__(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """Joint value of the running macro-actions."""
        return take_chosen(inputs.q_all, inputs.chosen).sum(axis=-1)


register_mixer("vdn", VDN, reads_state=False)
