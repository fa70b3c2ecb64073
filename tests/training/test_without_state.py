"""An environment without a global state: what reads none trains on it, what reads it is refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest
from support.line import Line

import jaxmac

TINY = {"seeds": 2, "episodes": 16, "num_envs": 4, "eval_every": 8, "eval_episodes": 2, "progress": False}
STORED = {"learning_starts": 4, "batch_size": 2, "replay_episodes": 8}
HISTORY = {"critic": "history"}


class Blind(Line):
    """The walkers, and nobody sees all of them."""

    def __init__(self):
        super().__init__(state_size=0)

    def global_state(self, physics):
        return jnp.zeros(0)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        pytest.param("mac-ippo", {}, marks=pytest.mark.slow),
        pytest.param("mac-mappo", HISTORY, marks=pytest.mark.slow),
        pytest.param("mac-iaicc", HISTORY, marks=pytest.mark.slow),
        pytest.param("avf-vdn", STORED, marks=pytest.mark.slow),
        pytest.param("mac-dec-q", STORED, marks=pytest.mark.slow),
        pytest.param("mac-cen-q", STORED, marks=pytest.mark.slow),
    ],
)
def test_what_reads_no_state_trains(algorithm, settings):
    result = jaxmac.train(algorithm, Blind(), hidden_size=8, **TINY, **settings)
    assert result.status == "finished" and np.isfinite(result.metrics["eval_return"]).all()


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("mac-mappo", {}, "critic is 'state', but must be 'history': Blind has no global state"),
        ("mac-iaicc", {"critic": "state"}, "critic is 'state', but must be 'history'"),
        ("avf-qmix", STORED, "Blind has no global state, which the mixer reads; mixers that read none: vdn"),
        ("tomacvf-qmix", STORED, "Blind has no global state, which the mixer reads"),
    ],
)
def test_what_reads_the_state_is_refused(algorithm, settings, message, monkeypatch):
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    with pytest.raises(ValueError, match=message) as caught:
        jaxmac.train(algorithm, Blind(), **TINY, **settings)
    assert "\n" not in str(caught.value)
