"""QMIX: a mixing network that is monotone in every utility, with weights that hypernetworks produce.

Paper: Tabish Rashid et al., "QMIX: Monotonic Value Function Factorisation for Deep Multi-Agent Reinforcement
Learning", ICML 2018.
"""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmac.config import setting
from jaxmac.mixers.base import MixerInputs, register_mixer, weight_floor
from jaxmac.networks.choice import take_chosen
from jaxmac.networks.layers import MLP, Linear


class QMIX(nn.Module):
    """Q_tot = elu(q^T |W1(s)| + b1(s)) . |w2(s)| + v(s) (docs/specifications/mixers.md, section 2).

    `mixing_embed` is the mixing width E; `hypernet_layers` (1 or 2) and `hypernet_embed` shape the networks
    that produce W1 and w2. The absolute values make dQ_tot/dQ_i >= 0. With `value_state` only that many leading
    entries of the mixer state produce w2 and v; `b1_abs` uses |b1| (both: docs/specifications/tomacvf.md, section
    4). With `weight_floor` > 0, that many times the sum of the utilities is added (section 5).
    """

    mixing_embed: int = setting(32, "width of the mixing network's hidden layer", low=1)
    hypernet_layers: int = setting(2, "layers of the hypernetworks that produce its weights", low=1, high=2)
    hypernet_embed: int = setting(32, "hidden width of the hypernetworks", low=1)
    weight_floor: float = weight_floor()
    b1_abs: bool = setting(
        False, "take the absolute value of the first bias, as ToMacVF does (its ablations without attention: never)"
    )
    value_state: int | None = None
    factorised: ClassVar[bool] = True

    @nn.compact
    def __call__(self, inputs: MixerInputs) -> Float[Array, "*rows"]:
        """Joint value of the running macro-actions."""
        mixer_state = inputs.mixer_state
        q = take_chosen(inputs.q_all, inputs.chosen)
        shape = (self.hypernet_embed, self.hypernet_layers)
        w1 = jnp.abs(MLP(q.shape[-1] * self.mixing_embed, *shape, name="w1")(mixer_state))
        w1 = w1.reshape(*q.shape, self.mixing_embed)
        b1 = Linear(self.mixing_embed, name="b1")(mixer_state)
        b1 = jnp.abs(b1) if self.b1_abs else b1
        mixer_state = mixer_state[..., : self.value_state]
        w2 = jnp.abs(MLP(self.mixing_embed, *shape, name="w2")(mixer_state))
        v = MLP(1, self.mixing_embed, name="v")(mixer_state)[..., 0]
        mixed = nn.elu(jnp.einsum("...n,...ne->...e", q, w1) + b1)
        joint = jnp.sum(mixed * w2, axis=-1) + v
        return joint + self.weight_floor * jnp.sum(q, axis=-1) if self.weight_floor else joint


register_mixer("qmix", QMIX)
