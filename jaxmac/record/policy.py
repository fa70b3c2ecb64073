"""Policies: how a team chooses its macro-actions. The random and the scripted policy need no training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmac.arguments import check_environment_made
from jaxmac.envs.environment import Environment, TimeStep
from jaxmac.envs.shapes import one_line
from jaxmac.errors import nearest


class Policy(NamedTuple):
    """How a team chooses its macro-actions, from hidden states and the batched TimeStep.

    Attributes:
        initial_carry: batch size -> the carry (hidden states) at the start of an episode.
        act: (key, carry, timestep, epsilon `[batch]`) -> (carry, macro_actions int32 `[batch, agents]`). The entry
            of an agent whose macro-action is still running is ignored. `epsilon` is the probability of exploring.
        act_greedily: the same for a policy that samples its macro-actions, but with the most probable ones; None
            for policies that are greedy already.
        networks: the `jaxmac.networks.agent.PolicyNetworks` that the policy evaluates, which make it exportable;
            None where it is more than that (for example a switch between two policies).
    """

    initial_carry: Callable[[int], Any]
    act: Callable[[Array, Any, TimeStep, Float[Array, "batch"]], tuple[Any, Int[Array, "batch agents"]]]
    act_greedily: Callable[..., tuple[Any, Array]] | None = None
    networks: Any = None


def check_policy(policy: Any) -> None:
    """Raise a one-line ValueError unless `policy` is a Policy."""
    if not isinstance(policy, Policy):
        hint = " such as jaxmac.random_policy() or the policy() of a Result"
        raise ValueError(f"policy is {one_line(policy)}, but must be a Policy{hint}")


def random_policy() -> Policy:
    """A policy that draws uniformly among the available macro-actions of each agent."""

    def act(key: Array, carry: Any, timestep: TimeStep, epsilon: Array) -> tuple[Any, Array]:
        del epsilon
        return carry, uniform_available(key, timestep.avail)

    return Policy(lambda batch: (), act)


def scripted_policy(env: Environment) -> Policy:
    """The best known open-loop plan of `env`, as given by `env.script()`; every agent repeats its last entry.

    Raises ValueError, in one line, if the environment has no plan under its present options.
    """
    check_environment_made(env)
    script = env.script()
    if script is None:
        instead = "use random_policy(), on the command line --policy random"
        raise ValueError(f"{env.name} has no scripted policy under these options; {instead}")
    longest = max(len(plan) for plan in script)
    plans = jnp.array([(*plan, *[plan[-1]] * (longest - len(plan))) for plan in script], jnp.int32)

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
    """The policy `name` of `BASELINES` for `env`; raises ValueError if it is unknown or `env` has no plan."""
    if name not in BASELINES:
        raise ValueError(f"unknown policy {name!r}; {nearest(name, BASELINES)}")
    return BASELINES[name](env)


def uniform_available(key: Array, avail: Bool[Array, "*rows agents actions"]) -> Int[Array, "*rows agents"]:
    """One available macro-action per agent, drawn uniformly: int32 `[..., agents]`."""
    count = jnp.sum(avail, axis=-1, dtype=jnp.int32)
    share = jax.random.uniform(key, count.shape, jnp.float32)  # one draw; randint makes two
    rank = jnp.minimum((share * count).astype(jnp.int32), count - 1)
    return jnp.argmax(jnp.cumsum(avail, axis=-1) > rank[..., None], axis=-1).astype(jnp.int32)


def explored(
    key: Array, greedy: Int[Array, "batch agents"], ts: TimeStep, epsilon: Float[Array, "batch"], coins: int
) -> Int[Array, "batch agents"]:
    """`greedy` macro-actions, or with probability epsilon random available ones.

    `coins` is the number of agents to decide for each of them separately, or 1 to decide for all agents at once.
    """
    random_key, coin_key = jax.random.split(key)
    explore = jax.random.uniform(coin_key, (greedy.shape[0], coins), jnp.float32) < epsilon[:, None]
    return jnp.where(explore, uniform_available(random_key, ts.avail), greedy)
