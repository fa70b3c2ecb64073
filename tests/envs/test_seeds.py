"""Seeds of adapters: those that a key of 32 bits would confuse with others are refused."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmac
from jaxmac.envs.adapters import to_pettingzoo


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "1", True])
def test_pettingzoo_seeds_out_of_range(seed):
    """-1 and 2^32 gave the episodes of 4294967295 and 0."""
    env = jaxmac.make("CaptureTarget-2", horizon=4)
    with pytest.raises(ValueError, match=r"^seed is .*, but must be an integer of 0 to 4294967295$"):
        to_pettingzoo(env, seed)
    view = to_pettingzoo(env, 3)
    started = view.reset()[0]["agent_0"]["observation"]
    with pytest.raises(ValueError, match=r"^seed is .*, but must be"):
        view.reset(seed=seed)
    assert view.agents and view.reset(seed=3)[0]["agent_0"]["observation"].tolist() == started.tolist()


def test_pettingzoo_seeds_of_all_kinds_of_integers():
    view = to_pettingzoo(jaxmac.make("CaptureTarget-2", horizon=4))
    starts = [
        view.reset(seed=seed)[0]["agent_0"]["observation"].tolist() for seed in (7, np.int64(7), jnp.uint32(7))
    ]
    assert starts[0] == starts[1] == starts[2]
