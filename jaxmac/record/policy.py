"""Policies: how a team chooses its macro-actions. The random and the scripted one need no training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.errors import nearest


class Policy(NamedTuple):
    """How a team chooses: a carry (hidden states) and a function of the batched TimeStep.

    `act(key, carry, timestep, epsilon [batch]) -> (carry, macro_actions [batch, agents])`; the entry of an agent
    whose macro-action still runs is ignored. A policy that draws what it does has `act_greedily`, too: the most
    probable macro-actions instead, or with probability epsilon random ones. `nets`
    (`jaxmac.networks.agent.ActingNets`) are the networks behind it where it is theirs alone: with them it can be
    exported.
    """

    initial_carry: Callable[[int], Any]
    act: Callable[[Array, Any, TimeStep, Float[Array, "batch"]], tuple[Any, Int[Array, "batch agents"]]]
    act_greedily: Callable[..., tuple[Any, Array]] | None = None
    nets: Any = None


def random_policy() -> Policy:
    """Uniform over the available macro-actions."""

    def act(key: Array, carry: Any, timestep: TimeStep, epsilon: Array) -> tuple[Any, Array]:
        del epsilon
        return carry, uniform_available(key, timestep.avail)

    return Policy(lambda batch: (), act)


def scripted_policy(env: Environment) -> Policy:
    """The best known open-loop plan of `env`, its `script()`.

    Raises ValueError if the environment has none (under its present options).
    """
    script = env.script()
    if script is None:
        raise ValueError(f"{env.name} has no scripted policy under these options; a random one is always there")
    longest = max(len(plan) for plan in script)
    plans = jnp.array([(*plan, *[plan[-1]] * (longest - len(plan))) for plan in script])

    def act(key: Array, chosen: Array, timestep: TimeStep, epsilon: Array) -> tuple[Array, Array]:
        del key, epsilon
        entry = jnp.minimum(chosen, longest - 1)
        macro_actions = jnp.take_along_axis(plans[None], entry[..., None], axis=-1)[..., 0]
        return chosen + timestep.ended, macro_actions

    return Policy(lambda batch: jnp.zeros((batch, env.num_agents), jnp.int32), act)


BASELINES: dict[str, Callable[[Environment], Policy]] = {
    "scripted": scripted_policy,
    "random": lambda env: random_policy(),
}


def baseline_policy(name: str, env: Environment) -> Policy:
    """The policy of `BASELINES` with that name; raises ValueError for an unknown one, or where `env` has none."""
    if name not in BASELINES:
        raise ValueError(f"unknown policy {name!r}; {nearest(name, BASELINES)}")
    return BASELINES[name](env)


def uniform_available(key: Array, avail: Bool[Array, "*rows agents actions"]) -> Int[Array, "*rows agents"]:
    """One available macro-action per agent, uniformly, int32 `[..., agents]`."""
    count = jnp.sum(avail, axis=-1)
    share = jax.random.uniform(key, count.shape)  # one draw; randint makes two
    rank = jnp.minimum((share * count).astype(jnp.int32), count - 1)
    return jnp.argmax(jnp.cumsum(avail, axis=-1) > rank[..., None], axis=-1).astype(jnp.int32)
