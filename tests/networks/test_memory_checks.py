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
            "normed": nn.LayerNorm()(outputs.mean(1, keepdims=True)),
            "infinite": jnp.inf,
            "input": projected,
            "output": jnp.arange(len(advance))[:, None, None],
            "length": len(advance),
        }.get(self.how, 0.0)
        return hidden + (len(advance) if self.how == "clock" else 0.0), outputs + added


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("", None),
        ("later", "lets an output depend on later entries"),
        ("episodes", "lets the output of an episode depend on the other episodes of the batch"),
        ("normed", "lets the output of an episode depend on the other episodes of the batch"),
        ("input", "lets an input have an influence where advance is False"),
        ("always", "lets an input have an influence where advance is False"),
        ("output", "changes its output where advance is False"),
        ("clock", "changes its hidden state where advance is False"),
        ("length", "gives other outputs one entry at a time than all at once"),
        ("infinite", "returns numbers that are not finite"),
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
        with pytest.raises(ValueError, match=f"^memory 'mine' {problem}$"):
            check_memory("mine", None, 4)


class Moments(nn.Module):
    """A memory that is legitimate from a hidden state of 0 on: it scales by a running second moment."""

    size: int
    carry_size: int = 8

    @nn.compact
    def __call__(self, hidden, inputs, advance):
        projected = nn.Dense(4, dtype=jnp.bfloat16)(inputs).astype(jnp.float32)

        def step(carry, entry):
            new, moves = entry
            mean, square = jnp.split(carry, 2, axis=-1)
            after = jnp.concatenate([0.5 * mean + new, 0.5 * square + new**2], axis=-1)
            carry = jnp.where(moves[:, None], after, carry)
            mean, square = jnp.split(carry, 2, axis=-1)
            return carry, (mean / jnp.sqrt(square + 1e-6)).astype(jnp.bfloat16)

        return jax.lax.scan(step, hidden, (projected, advance))


def test_a_legitimate_memory_passes_and_is_checked_once(monkeypatch):
    with registered_only_here():
        register_memory("moments", Moments)
        check_memory("moments", None, 4)
        monkeypatch.setattr(
            "jaxmac.networks.checking._wrong_behaviour", lambda *given: pytest.fail("checked again")
        )
        check_memory("moments", None, 4)


def test_a_memory_is_checked_when_an_algorithm_is_made():
    class Mine(Behaving):
        how: str = "later"

    env = jaxmac.make("BoxPushing-4")
    with registered_only_here():
        register_memory("mine", Mine)
        with pytest.raises(ValueError, match="memory 'mine' lets an output depend on later entries"):
            make_algorithm("avf-vdn", env, configure("avf-vdn", "tuned", env, {"memory": "mine"}))
