"""One of our environments as a JaxMARL `MultiAgentEnv`, and JaxMARL's rollout manager with its masks."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxmarl.environments import spaces
from jaxmarl.environments.multi_agent_env import MultiAgentEnv
from jaxmarl.environments.multi_agent_env import State as BaseState
from jaxmarl.wrappers.baselines import CTRolloutManager
from jaxtyping import Array, Float, PRNGKeyArray

from jaxmac.envs.environment import Environment, EnvState, TimeStep

Dict = dict[str, Any]


@struct.dataclass
class State(BaseState):
    """Time and end as JaxMARL asks for them, and our state."""

    env_state: EnvState


class JaxMARLView(MultiAgentEnv):
    """`env` for JaxMARL's algorithms and wrappers.

    * An action is a macro-action, read only where the agent's last one has ended. `get_avail_actions` tells: an
      agent whose macro-action runs has that one available, the others those that may start. `CTRolloutManager`
      of JaxMARL asks for masks only where the environment is SMAX or Hanabi by its name; `rollout_manager` does.
    * Observations are macro-observations, each without padding; `obs["world_state"]` and `get_world_state(state)`
      are the global state.
    * Every agent gets the team's reward. (`CTRolloutManager` adds them up, `rollout_manager` does not.)
    * `dones` are the same for all, at `terminal` and at `truncated`. The info tells them apart, and has `ended`,
      `elapsed` and `macro_action`. JaxMARL's programs take an info apart by agents: each entry is `[agents]`.
    * `step` starts a new episode after the end, `step_env` stays there, as everywhere in JaxMARL.
    """

    def __init__(self, env: Environment, fresh: bool = False):
        """With `fresh` observations are what the agents perceive now."""
        super().__init__(env.num_agents)
        self.env, self.fresh = env, fresh
        self.max_steps, self.state_size = env.horizon, env.state_size
        self.action_spaces = {a: spaces.Discrete(n) for a, n in zip(self.agents, env.num_actions, strict=True)}
        self.observation_spaces = {
            a: spaces.Box(-jnp.inf, jnp.inf, (n,)) for a, n in zip(self.agents, env.obs_sizes, strict=True)
        }

    @property
    def name(self) -> str:
        """The id of the environment."""
        return self.env.name

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """One class: all agents work together."""
        return {"agents": list(self.agents)}

    @partial(jax.jit, static_argnums=0)
    def reset(self, key: PRNGKeyArray) -> tuple[Dict, State]:
        """Start an episode: every agent must choose."""
        env_state, ts = self.env.reset(key)
        return self._observations(ts.obs if self.fresh else ts.macro_obs, ts.state), _state(env_state)

    @partial(jax.jit, static_argnums=0)
    def step_env(self, key: PRNGKeyArray, state: State, actions: Dict) -> tuple[Dict, State, Dict, Dict, Dict]:
        """One primitive step."""
        choices = jnp.stack([jnp.asarray(actions[a], jnp.int32).reshape(()) for a in self.agents])
        env_state, ts = self.env.step(key, state.env_state, choices)
        done = ts.terminal | ts.truncated
        observations = self._observations(ts.obs if self.fresh else ts.macro_obs, ts.state)
        dones = {**dict.fromkeys(self.agents, done), "__all__": done}
        return observations, _state(env_state), dict.fromkeys(self.agents, ts.reward), dones, _info(ts)

    def get_obs(self, state: Any) -> Dict:
        """Every agent's observation."""
        env_state = state.env_state
        obs = env_state.macro_obs
        if self.fresh:  # at reset, `observe_initial` may have given another observation than `observe`
            obs = jnp.where(env_state.time == 0, obs, self.env.observe(env_state.physics).astype(obs.dtype))
        return self._observations(obs.astype(jnp.float32), self.get_world_state(state))

    @partial(jax.jit, static_argnums=0)
    def get_avail_actions(self, state: State) -> Dict:
        """What each agent may do now: start something, or go on with what it is doing.

        Masks are bool `[actions]`, of the agent with the most actions for all: JaxMARL's programs stack them.
        """
        env_state = state.env_state
        running = jax.nn.one_hot(env_state.macro_action, self.env.max_actions, dtype=bool)
        mask = jnp.where(env_state.ended[:, None], self.env.available(env_state.physics), running)
        return {agent: mask[i] for i, agent in enumerate(self.agents)}

    def get_world_state(self, state: State) -> Float[Array, "state"]:
        """The global state."""
        return self.env.global_state(state.env_state.physics).astype(jnp.float32)

    def _observations(self, obs: Float[Array, "agents obs"], world_state: Float[Array, "state"]) -> Dict:
        sizes = zip(self.agents, self.env.obs_sizes, strict=True)
        return {a: obs[i, :n] for i, (a, n) in enumerate(sizes)} | {"world_state": world_state}


def _state(env_state: EnvState) -> State:
    return State(done=env_state.terminal | env_state.truncated, step=env_state.time, env_state=env_state)


def _info(ts: TimeStep) -> Dict:
    of_agents = {name: getattr(ts, name) for name in ("ended", "elapsed", "macro_action")}
    return of_agents | {name: jnp.full(ts.ended.shape, getattr(ts, name)) for name in ("terminal", "truncated")}


def rollout_manager(env: Any, batch_size: int, **options: Any) -> CTRolloutManager:
    """JaxMARL's `CTRolloutManager` with what it gives SMAX by its name: masks, global state, the reward once.

    `env` is a view or a wrapper around one; the options are those of `CTRolloutManager`. `get_valid_actions` takes
    states of the view, which is `state.env_state` under one wrapper. Raises ValueError if `env` is anything else.
    """
    view = env
    while not isinstance(view, JaxMARLView):
        if not hasattr(view, "_env"):
            raise ValueError(f"env is {env!r}, but must be from to_jaxmarl, or a wrapper around that")
        view = view._env
    manager = CTRolloutManager(env, batch_size, **options)
    manager.get_valid_actions = jax.vmap(view.get_avail_actions)
    manager.global_state = lambda obs, state: obs["world_state"]
    manager.global_reward = lambda rewards: rewards[manager.training_agents[0]]
    return manager
