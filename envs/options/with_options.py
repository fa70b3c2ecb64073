"""Macro-actions for any environment: hand-written options over its actions, as a MacDec-POMDP.

An option is a controller with a beginning and an end: where it may start, what it does, when it is over. Choosing
among an agent's options is choosing a macro-action. Whatever keeps the environment contract can be given options:
a `-primitive` environment, one that came in through `envs.adapters.from_jaxmarl`, one's own, or one that has
macro-actions already (an option's choice is then read where the last of them ended).

Sources: Sutton, Precup and Singh, "Between MDPs and semi-MDPs", 1999; for Dec-POMDPs Amato, Konidaris, Kaelbling
and How, "Modeling and planning with macro-actions in decentralized POMDPs", 2019.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Int, Int32, Key, PRNGKeyArray, Shaped

from jaxmac.envs.environment import Environment, EnvState, Outcome
from jaxmac.envs.options.checks import check_options, options_per_agent
from jaxmac.envs.options.option import Option, View


class Physics(struct.PyTreeNode):
    """The environment below, and the state of the options."""

    world: Any  # physics of the environment below
    obs: Shaped[Array, "... agents obs"]  # what each agent perceives now
    action: Int32[Array, "... agents"]  # what each agent is doing below
    action_ended: Bool[Array, "... agents"]  # that has ended, so the option chooses the next action
    elapsed: Int32[Array, "... agents"]  # primitive steps since the option started
    over: Bool[Array, "... agents"]  # the option has terminated and waits for the macro-action below to end
    memory: Any  # for each team and each of its options, leaves [agents of the team, ...]


class Noise(NamedTuple):
    """The random draws of one step."""

    world: Any
    policy_keys: Key[Array, "... agents"]  # split between `remember` and `policy`
    termination_keys: Key[Array, "... agents"]  # for `terminates`


class Team(NamedTuple):
    """Agents with the same options and sizes; they are computed together."""

    options: tuple[Option, ...]
    members: Int[np.ndarray, "members"]
    obs_size: int
    num_actions: int


class WithOptions(Environment):
    """`env` with options as macro-actions. Observations, state, reward and end stay as they are."""

    def __init__(
        self,
        env: Environment,
        options: Sequence[Option] | Sequence[Sequence[Option]],
        *,
        horizon: int | None = None,
        name: str | None = None,
    ):
        """`options` is a list for all agents, or one list for each of them; their numbers may differ.

        `horizon` in primitive steps (None: that of `env`). Raises ValueError, in one line that names agent, option
        and function, for what does not fit.
        """
        if not isinstance(env, Environment):
            raise ValueError(f"env is {env!r}, but must be an Environment (envs.make, envs.adapters.from_jaxmarl)")
        self.env = env
        self.agent_options = options_per_agent(options, env.num_agents)
        for i, own in enumerate(self.agent_options):
            check_options(i, own, env.obs_sizes[i], env.num_actions[i])
        self.teams = _teams(env, self.agent_options)
        if name is not None and not isinstance(name, str):
            raise ValueError(f"name is {name!r}, but must be a string")
        super().__init__(
            action_names=[[option.name for option in own] for own in self.agent_options],
            obs_sizes=env.obs_sizes,
            state_size=env.state_size,
            horizon=env.horizon if horizon is None else horizon,
            horizon_is_terminal=env.horizon_is_terminal,
            obs_dtype=env.obs_dtype,
        )
        if self.horizon <= env.horizon:  # how far the numbers of a longer episode reach is not known
            self.obs_multiples, self.state_multiples = env.obs_multiples, env.state_multiples
        self.fresh_observations = env.fresh_observations
        self.name = name or f"options on {env.name}"

    def initial_physics(self, key: PRNGKeyArray) -> Physics:
        """The start of the environment below; no option has been chosen."""
        world, count = self.env.initial_physics(key), self.num_agents
        return Physics(
            world=world,
            obs=self.env.observe_initial(world).astype(self.obs_dtype),
            action=jnp.zeros(count, jnp.int32),
            action_ended=jnp.ones(count, bool),
            elapsed=jnp.zeros(count, jnp.int32),
            over=jnp.zeros(count, bool),
            memory=tuple(tuple(_repeat(option.memory, len(t.members)) for option in t.options) for t in self.teams),
        )

    def sample_noise(self, key: PRNGKeyArray) -> Noise:
        """The draws of the environment below, and two keys for each agent."""
        world_key, options_key = jax.random.split(key)
        keys = jax.random.split(options_key, (2, self.num_agents))
        return Noise(self.env.sample_noise(world_key), keys[0], keys[1])

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Noise
    ) -> tuple[Physics, Outcome]:
        """The running options choose actions, the environment below takes a step, then options terminate."""
        elapsed = jnp.where(started, 0, physics.elapsed)
        avail = self.env.available(physics.world)
        action, memories = physics.action, []
        for team, memory in zip(self.teams, physics.memory, strict=True):
            views = self._views(team, physics.obs, avail, elapsed, noise.policy_keys)
            chosen, first = macro_actions[team.members], started[team.members]
            decided, memory = jax.vmap(_decide(team.options))(views, chosen, first, memory)
            action = action.at[team.members].set(decided)
            memories.append(memory)
        action = jnp.where(physics.action_ended, action, physics.action)
        world, below = self.env.transition(physics.world, action, physics.action_ended, noise.world)
        obs = self.env.observe(world).astype(self.obs_dtype)
        elapsed, avail = elapsed + 1, self.env.available(world)
        over = physics.over & ~started
        for team, memory in zip(self.teams, memories, strict=True):
            views = self._views(team, obs, avail, elapsed, noise.termination_keys)
            ended = jax.vmap(_end(team.options))(views, macro_actions[team.members], memory)
            over = over.at[team.members].set(over[team.members] | ended)
        after = Physics(world, obs, below.macro_action, below.ended, elapsed, over, tuple(memories))
        return after, Outcome(over & below.ended, macro_actions, below.reward, below.terminal)

    def _views(
        self,
        team: Team,
        obs: Shaped[Array, "agents most_obs"],
        avail: Bool[Array, "agents most_actions"],
        elapsed: Int[Array, "agents"],
        keys: Key[Array, "agents"],
    ) -> View:
        """Views of a team's agents, leaves `[members, ...]`, without memory."""
        members = team.members
        return View(
            obs[members, : team.obs_size].astype(jnp.float32),
            avail[members, : team.num_actions],
            elapsed[members],
            (),
            keys[members],
        )

    def available(self, physics: Physics) -> Bool[Array, "agents actions"]:
        """Options that can start now."""
        mask = jnp.zeros((self.num_agents, self.max_actions), bool)
        avail = self.env.available(physics.world)
        elapsed = jnp.zeros(self.num_agents, jnp.int32)
        # An initiation set must not depend on random numbers: the same key every time.
        keys = jax.random.split(jax.random.key(0), self.num_agents)
        for team in self.teams:
            views = self._views(team, physics.obs, avail, elapsed, keys)
            for k, option in enumerate(team.options):
                memory = jax.tree.map(jnp.asarray, option.memory)
                starts = jax.vmap(lambda v, o=option, m=memory: jnp.asarray(o.can_start(v._replace(memory=m))))
                mask = mask.at[team.members, k].set(starts(views))
        return mask

    def observe(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """What each agent perceives below."""
        return physics.obs

    def global_state(self, physics: Physics) -> Shaped[Array, "state"]:
        """The global state below."""
        return self.env.global_state(physics.world)

    def success(self, physics: Physics) -> Bool[Array, ""] | None:
        """Whether the task below is done, where that is defined."""
        return self.env.success(physics.world)

    def draw(self, state: EnvState, ax: Any) -> None:
        """The picture of the environment below, with the options' names in the caption."""
        below = copy.copy(self.env)
        below.name, below.action_names, below.horizon = self.name, self.action_names, self.horizon
        below.draw(state.replace(physics=state.physics.world), ax)


def _decide(options: tuple[Option, ...]) -> Callable[..., tuple[Array, tuple]]:
    """`(view, chosen option, started, memory of each option) -> (action, memories)` of one agent."""

    def decide(view: View, chosen: Array, started: Array, memories: tuple) -> tuple[Array, tuple]:
        actions, updated = [], []
        remember_key, policy_key = jax.random.split(view.key)
        for k, (option, memory) in enumerate(zip(options, memories, strict=True)):
            memory = _select(started, option.memory, memory)
            if option.remember is not None:
                remembered = option.remember(view._replace(memory=memory, key=remember_key))
                memory = _select(chosen == k, remembered, memory)
            action = option.policy(view._replace(memory=memory, key=policy_key))
            actions.append(jnp.asarray(action, jnp.int32))
            updated.append(memory)
        return jnp.stack(actions)[chosen], tuple(updated)

    return decide


def _end(options: tuple[Option, ...]) -> Callable[..., Array]:
    """`(view, chosen option, memory of each option) -> whether it is over` of one agent."""

    def end(view: View, chosen: Array, memories: tuple) -> Array:
        over = []
        for option, memory in zip(options, memories, strict=True):
            ends = jnp.asarray(option.terminates(view._replace(memory=memory)))
            over.append(ends if option.max_duration is None else ends | (view.elapsed >= option.max_duration))
        return jnp.stack(over)[chosen]

    return end


def _select(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b).astype(jnp.asarray(b).dtype), new, old)


def _repeat(memory: Any, count: int) -> Any:
    return jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x)[None], count, axis=0), memory)


def _teams(env: Environment, agent_options: tuple[tuple[Option, ...], ...]) -> tuple[Team, ...]:
    """Agents by options and sizes, in the order of their first member."""
    members: dict[tuple, list[int]] = {}
    for i, options in enumerate(agent_options):
        members.setdefault((options, env.obs_sizes[i], env.num_actions[i]), []).append(i)
    return tuple(Team(options, np.array(agents), *sizes) for (options, *sizes), agents in members.items())
