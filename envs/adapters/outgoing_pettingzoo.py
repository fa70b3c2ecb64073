"""One of our environments as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from pettingzoo import ParallelEnv

from jaxmac.envs.environment import Environment, EnvState, TimeStep
from jaxmac.envs.rendering import frame

Dict = dict[str, Any]
RENDER_MODES = (None, "rgb_array")


class PettingZooView(ParallelEnv):
    """`env` for PettingZoo's users.

    * An action is a macro-action, read only where the agent's last one has ended; the others may be left out. The
      `action_mask` tells: a running macro-action is all that its agent has available.
    * An observation is a dict of `observation`, the agent's macro-observation f32 without padding, and
      `action_mask`, int8. `state()` is the global state.
    * Every agent gets the team's reward. All agents leave together, `terminated` or `truncated`.
    * The info of an agent has `ended`, `elapsed`, `macro_action` and the `action_mask`.
    """

    def __init__(self, env: Environment, seed: int = 0, fresh: bool = False, render_mode: str | None = None):
        """With `fresh` observations are what the agents perceive now."""
        if render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode is {render_mode!r}, but must be None or 'rgb_array'")
        self.env, self.fresh, self.render_mode = env, fresh, render_mode
        self.metadata = {"name": env.name, "render_modes": ["rgb_array"], "is_parallelizable": True}
        self.possible_agents = [f"agent_{i}" for i in range(env.num_agents)]
        self.agents: list[str] = []
        self.observation_spaces: Dict = {}
        self.action_spaces: Dict = {}
        sizes = zip(self.possible_agents, env.obs_sizes, env.num_actions, strict=True)
        for agent, obs_size, count in sizes:
            box = gymnasium.spaces.Box(-np.inf, np.inf, (obs_size,), np.float32)
            mask = gymnasium.spaces.MultiBinary(count)
            self.observation_spaces[agent] = gymnasium.spaces.Dict({"observation": box, "action_mask": mask})
            self.action_spaces[agent] = gymnasium.spaces.Discrete(count)
        self.state_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.state_size,), np.float32)
        self._reset, self._step = jax.jit(env.reset), jax.jit(env.step)
        self._key, self._episode = jax.random.key(seed), 0
        self._env_state: EnvState
        self._ts: TimeStep  # NumPy arrays

    def observation_space(self, agent: str) -> gymnasium.spaces.Space:
        """The space of an agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space:
        """The space of an agent's macro-actions."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Dict | None = None) -> tuple[Dict, Dict]:
        """Start an episode: every agent must choose. `options` are not read."""
        del options
        if seed is not None:
            self._key, self._episode = jax.random.key(seed), 0
        reset_key, self._step_key = jax.random.split(jax.random.fold_in(self._key, self._episode))
        self._episode += 1
        self._env_state, ts = self._reset(reset_key)
        self._ts = jax.device_get(ts)
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos()

    def step(self, actions: Dict) -> tuple[Dict, Dict, Dict, Dict, Dict]:
        """One primitive step.

        Raises ValueError, in one line, before the first reset, after the end, and for a choice that is missing or
        not available.
        """
        if not self.agents:
            raise ValueError(f"{self.env.name}: no episode is running, call reset first")
        choices = jnp.asarray([self._choice(i, agent, actions) for i, agent in enumerate(self.agents)], jnp.int32)
        key = jax.random.fold_in(self._step_key, int(self._ts.time))
        self._env_state, ts = self._step(key, self._env_state, choices)
        self._ts = jax.device_get(ts)
        present, ts = self.agents, self._ts
        results = (
            self._observations(),
            dict.fromkeys(present, float(ts.reward)),
            dict.fromkeys(present, bool(ts.terminal)),
            dict.fromkeys(present, bool(ts.truncated)),
            self._infos(),
        )
        if ts.terminal or ts.truncated:
            self.agents = []
        return results

    def _choice(self, i: int, agent: str, actions: Dict) -> int:
        if not self._ts.ended[i]:
            return int(self._ts.macro_action[i])
        if agent not in actions:
            raise ValueError(f"{agent} must choose now, but actions has only {sorted(actions)}")
        allowed = np.flatnonzero(self._ts.avail[i])
        if actions[agent] not in allowed:
            raise ValueError(f"{agent} chose {actions[agent]}, but may start one of {allowed.tolist()}")
        return int(actions[agent])

    def _mask(self, i: int) -> np.ndarray:
        count, ts = self.env.num_actions[i], self._ts
        available = ts.avail[i, :count] if ts.ended[i] else np.arange(count) == ts.macro_action[i]
        return np.asarray(available, np.int8)

    def _observations(self) -> Dict:
        obs = self._ts.obs if self.fresh else self._ts.macro_obs
        return {
            agent: {"observation": obs[i, : self.env.obs_sizes[i]], "action_mask": self._mask(i)}
            for i, agent in enumerate(self.agents)
        }

    def _infos(self) -> Dict:
        ts = self._ts
        return {
            agent: {
                "ended": bool(ts.ended[i]),
                "elapsed": int(ts.elapsed[i]),
                "macro_action": int(ts.macro_action[i]),
                "action_mask": self._mask(i),
            }
            for i, agent in enumerate(self.agents)
        }

    def state(self) -> np.ndarray:
        """The global state, f32 `[S]`."""
        return np.asarray(self._ts.state)

    def render(self) -> np.ndarray | None:
        """A picture, uint8 `[height, width, 3]`, where `render_mode` is "rgb_array"."""
        return frame(self.env, self._env_state) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Nothing is open."""
