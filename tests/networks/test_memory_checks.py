"""What a memory from outside may not do: `check_memory` tells before anything learns."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from support.registries import registered_only_here

import jaxmac
from jaxmac.algorithms import configure, make_algorithm
from jaxmac.networks.checking import check_memory
from jaxmac.networks.memory import register_memory


@pytest.mark.parametrize("name", ["gru", "mingru"])
def test_the_librarys_own_memories_pass(name):
    check_memory(name, None, 4)


class Behaving(nn.Module):
    """A memory that averages what it was given, but for what `how` says."""

    size: int
    how: str = ""

    @nn.compact
    def __call__(self, hidden, inputs, advance):
        projected = nn.Dense(self.size)(inputs)
        moves = jnp.ones_like(advance) if self.how == "always" else advance

        def step(hidden, entry):
            new, moves = entry
            hidden = jnp.where(moves[:, None], 0.5 * hidden + new, hidden)
            return hidden, hidden

        hidden, outputs = jax.lax.scan(step, hidden, (projected, moves))
        added = {
            "later": projected.mean(0),
            "episodes": outputs.mean(1, keepdims=True),
            "input": projected,
            "output": jnp.arange(len(advance))[:, None, None],
            "length": len(advance),
        }.get(self.how, 0.0)
        return hidden, outputs + added


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("", None),
        ("later", "an output depends on later entries"),
        ("episodes", "the output of an episode depends on the other episodes of the batch"),
        ("input", "an input has an influence where advance is False"),
        ("always", "an input has an influence where advance is False"),
        ("output", "the output changes where advance is False"),
        ("length", "one entry at a time gives other outputs than all at once"),
    ],
)
def test_what_a_memory_does_is_checked(kind, problem):
    class Mine(Behaving):
        how: str = kind

    with registered_only_here():
        register_memory("mine", Mine)
        if problem is None:
            check_memory("mine", None, 4)
            return
        with pytest.raises(ValueError, match=f"^memory 'mine': {problem}$"):
            check_memory("mine", None, 4)


def test_a_memory_is_checked_when_an_algorithm_is_made():
    class Mine(Behaving):
        how: str = "later"

    env = jaxmac.make("BoxPushing-4")
    with registered_only_here():
        register_memory("mine", Mine)
        with pytest.raises(ValueError, match="memory 'mine': an output depends on later entries"):
            make_algorithm("avf-vdn", env, configure("avf-vdn", "tuned", env, {"memory": "mine"}))
