"""One of our environments as a PettingZoo `ParallelEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import gymnasium
import jax
import numpy as np
from pettingzoo import ParallelEnv

from jaxmac.envs.adapters import forks
from jaxmac.envs.arguments import check_seed
from jaxmac.envs.environment import Environment, EnvState, TimeStep
from jaxmac.envs.rendering import frame
from jaxmac.envs.shapes import one_line

Dict = dict[str, Any]
RENDER_MODES = (None, "rgb_array")
MASK_PLACES = ("observation", "info")


class NoEpisode(ValueError, AssertionError):
    """No episode answers what was asked. PettingZoo's own environments raise an AssertionError there."""


class PettingZooView(ParallelEnv):
    """`env` for PettingZoo's users.

    * An action is a macro-action, read only where the agent's last one has ended; the others may be left out. The
      `action_mask`, int8 `[its actions]`, tells: a running macro-action is all that its agent has available.
    * With `mask_in="observation"` an observation is a dict of `observation`, the agent's macro-observation f32
      without padding, and `action_mask`. With "info" it is the macro-observation alone, the mask is in the info.
    * Every agent gets the team's reward. All agents leave together, `terminated` or `truncated`.
    * The info of an agent has `ended`, `elapsed` and `macro_action`. `state()` is the global state.
    * JAX starts with the first `reset`, so that a process may make a view and then fork others that run theirs;
      one that is forked later is told so by `reset` and `step`. A view can be pickled at any time; the copy goes on
      where the original was.
    """

    def __init__(
        self,
        env: Environment,
        seed: int = 0,
        fresh: bool = False,
        render_mode: str | None = None,
        mask_in: str = "observation",
    ):
        """With `fresh` observations are what the agents perceive now. Raises ValueError for another value."""
        _check_choice("render_mode", render_mode, RENDER_MODES)
        _check_choice("mask_in", mask_in, MASK_PLACES)
        self.env, self.fresh, self.render_mode, self.mask_in = env, fresh, render_mode, mask_in
        self.metadata = {
            "name": env.name,
            "render_modes": ["rgb_array"],
            "render_fps": 5,
            "is_parallelizable": True,
        }
        self.possible_agents = [f"agent_{i}" for i in range(env.num_agents)]
        self.agents: list[str] = []
        self.observation_spaces: Dict = {}
        self.action_spaces: Dict = {}
        sizes = zip(self.possible_agents, env.obs_sizes, env.num_actions, strict=True)
        for agent, obs_size, count in sizes:
            box = gymnasium.spaces.Box(-np.inf, np.inf, (obs_size,), np.float32)
            mask = gymnasium.spaces.MultiBinary(count)
            both = gymnasium.spaces.Dict({"observation": box, "action_mask": mask})
            self.observation_spaces[agent] = both if mask_in == "observation" else box
            self.action_spaces[agent] = gymnasium.spaces.Discrete(count)
        self.state_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.state_size,), np.float32)
        self._seed, self._episode = check_seed(seed), 0
        self._env_state: EnvState | None = None  # None until the first reset
        self._ts: TimeStep  # NumPy arrays

    @cached_property
    def _programs(self) -> tuple[Any, Any]:
        """`reset` and `step`, compiled at their first call, for the environment as it is then."""
        return jax.jit(self.env.reset), jax.jit(self.env.step)

    def __getstate__(self) -> Dict:
        """Everything but the compiled programs, which belong to this process."""
        kept = {name: value for name, value in self.__dict__.items() if name != "_programs"}
        return kept | {"_env_state": jax.device_get(self._env_state)}

    def observation_space(self, agent: str) -> gymnasium.spaces.Space:
        """The space of an agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space:
        """The space of an agent's macro-actions."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Dict | None = None) -> tuple[Dict, Dict]:
        """Start an episode: every agent must choose. `options` are not read.

        Raises:
            ValueError: the seed is not an integer of 0 to 2^32 - 1.
            RuntimeError: this process was forked after JAX had started.
        """
        del options
        forks.check(self.env.name)
        if seed is not None:
            self._seed, self._episode = check_seed(seed), 0
        key = jax.random.fold_in(jax.random.key(self._seed), self._episode)
        reset_key, self._step_key = jax.random.split(key)
        self._episode += 1
        self._env_state, ts = self._programs[0](reset_key)
        self._ts = jax.device_get(ts)
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos()

    def step(self, actions: Dict) -> tuple[Dict, Dict, Dict, Dict, Dict]:
        """One primitive step. An action is an integer or an array of one.

        Raises, in one line and before anything has changed:
            ValueError: no episode is running, or a choice is missing or not available.
            RuntimeError: this process was forked after JAX had started.
        """
        forks.check(self.env.name)
        if not self.agents:
            raise self._no_episode()
        if not isinstance(actions, Mapping):
            raise ValueError(f"actions is {actions!r}, but must be a dict, agent -> macro-action")
        choices = np.asarray([self._choice(i, agent, actions) for i, agent in enumerate(self.agents)], np.int32)
        key = jax.random.fold_in(self._step_key, int(self._ts.time))
        self._env_state, ts = self._programs[1](key, self._env_state, choices)
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
            raise ValueError(f"{agent} must choose now, but actions has only {sorted(map(str, actions))}")
        choice = _integer(actions[agent])
        if choice is None or not 0 <= choice < self.env.num_actions[i] or not self._ts.avail[i, choice]:
            allowed = np.flatnonzero(self._ts.avail[i]).tolist()
            chosen = one_line(actions[agent])
            raise ValueError(f"{agent} chose {chosen}, but may start one of {allowed}")
        return choice

    def _mask(self, i: int) -> np.ndarray:
        count, ts = self.env.num_actions[i], self._ts
        available = ts.avail[i, :count] if ts.ended[i] else np.arange(count) == ts.macro_action[i]
        return np.array(available, np.int8)

    def _observations(self) -> Dict:
        """Arrays of the caller's own: learners write into what they get."""
        obs = self._ts.obs if self.fresh else self._ts.macro_obs
        own = {agent: np.array(obs[i, : self.env.obs_sizes[i]]) for i, agent in enumerate(self.agents)}
        if self.mask_in == "info":
            return own
        return {
            agent: {"observation": own[agent], "action_mask": self._mask(i)} for i, agent in enumerate(self.agents)
        }

    def _infos(self) -> Dict:
        ts = self._ts
        infos: Dict = {}
        for i, agent in enumerate(self.agents):
            info: Dict = {"ended": bool(ts.ended[i]), "elapsed": int(ts.elapsed[i])}
            infos[agent] = info | {"macro_action": int(ts.macro_action[i])}
            if self.mask_in == "info":
                infos[agent]["action_mask"] = self._mask(i)
        return infos

    def _no_episode(self) -> NoEpisode:
        return NoEpisode(f"{self.env.name}: no episode is running, call reset first")

    def state(self) -> np.ndarray:
        """The global state, f32 `[S]`; after the end the last one. Raises ValueError before the first reset."""
        if self._env_state is None:
            raise self._no_episode()
        return np.array(self._ts.state)

    def render(self) -> np.ndarray | None:
        """A picture, uint8 `[height, width, 3]`, where `render_mode` is "rgb_array"; after the end the last one.

        Raises ValueError before the first reset.
        """
        if self._env_state is None:
            raise self._no_episode()
        return frame(self.env, self._env_state) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Nothing is open."""


def _check_choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, but must be {' or '.join(map(repr, allowed))}")


def _integer(action: Any) -> int | None:
    """The integer that an action is, also as an array of one entry; None for anything else."""
    try:
        array = np.asarray(action)
    except ValueError:  # rows of different lengths
        return None
    return int(array.item()) if array.size == 1 and array.dtype.kind in "iu" else None
