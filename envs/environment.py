"""The contract that every MacDec-POMDP here keeps: `TimeStep`, `EnvState` and the base class `Environment`."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Integer, PRNGKeyArray, Shaped

from jaxmac.envs.multiples import Multiples
from jaxmac.envs.shapes import one_line

LONGEST_HORIZON = 2_000_000_000  # steps are counted in an int32


class TimeStep(struct.PyTreeNode):
    """What agents, critics and recorders get after `reset` or one primitive step.

    Agents with fewer observation entries or macro-actions than others are padded on the right, observations with
    zeros and `avail` with False. A batch has more axes in front.
    """

    obs: Float32[Array, "... agents obs"]  # what each agent perceives now
    macro_obs: Float32[Array, "... agents obs"]  # `obs` at the agent's last termination (or reset)
    state: Float32[Array, "... state"]  # true global state now
    avail: Bool[Array, "... agents actions"]  # macro-actions that may be started now
    macro_action: Int32[Array, "... agents"]  # what each agent was running in the step just taken, -1 at reset
    elapsed: Int32[Array, "... agents"]  # primitive steps since it started, 0 where the agent must choose
    time: Int32[Array, "..."]  # primitive steps since reset
    ended: Bool[Array, "... agents"]  # the macro-action ended, so the agent must choose (all True at reset)
    reward: Float32[Array, "..."]  # team reward of this primitive step
    terminal: Bool[Array, "..."]  # the environment ended the episode
    truncated: Bool[Array, "..."]  # the time limit ended it; never together with `terminal`


class EnvState(struct.PyTreeNode):
    """Everything that an episode needs to go on, arrays only: the physics, and what the base class keeps."""

    physics: Any  # pytree of the environment
    macro_obs: Shaped[Array, "... agents obs"]  # in the environment's `obs_dtype`
    macro_action: Int32[Array, "... agents"]  # as in `TimeStep`
    elapsed: Int32[Array, "... agents"]  # as in `TimeStep`
    ended: Bool[Array, "... agents"]  # as in `TimeStep`
    time: Int32[Array, "..."]  # as in `TimeStep`
    terminal: Bool[Array, "..."]  # as in `TimeStep`
    truncated: Bool[Array, "..."]  # as in `TimeStep`
    episode_return: Float32[Array, "..."]  # undiscounted sum of rewards so far


class Outcome(NamedTuple):
    """The outcome of one primitive step of the physics."""

    ended: Bool[Array, "... agents"]  # the agent's macro-action ended in this step
    macro_action: Int[Array, "... agents"]  # what each agent ran (as given, unless the physics overrode it)
    reward: Shaped[Array, "..."]  # team reward
    terminal: Bool[Array, "..."]  # the episode ended


class Environment:
    """A cooperative MacDec-POMDP as pure functions: `reset`, `step` and `advance` can be jitted and vmapped.

    This class does once for all environments: it keeps the macro-action that each agent runs and its
    macro-observation until that ends, counts `elapsed`, applies the time limit, and freezes a finished episode
    (later steps repeat the last `TimeStep` with reward 0).

    A subclass passes its sizes to `__init__` and supplies

    * `initial_physics(key) -> physics`: a pytree of arrays;
    * `transition(physics, macro_actions [agents], started [agents], noise) -> (physics, Outcome)`: one primitive
      step. `macro_actions` is what every agent runs now: a new choice where `started`, elsewhere the running one.
      The end of the episode does not end macro-actions: report only those that are over;
    * `observe(physics) -> [agents, obs]` and `global_state(physics) -> [state]`, of this moment, padded with zeros;
    * `draw(state, ax)`: draw on matplotlib axes (import drawing libraries inside);

    and where the defaults do not fit

    * `sample_noise(key) -> Noise`: all randomness of one step, as a pytree (default: none);
    * `available(physics) -> bool [agents, actions]`: initiation sets (default: every real macro-action);
    * `observe_initial(physics) -> [agents, obs]`: the observation at reset (default: `observe`);
    * `script()`: the best known open-loop plan (default: none is known);
    * `success(physics) -> bool []`: at the end of an episode, whether the task is done (default: not defined).

    Attributes of an instance: `num_agents`, `num_actions` (one per agent), `max_actions`, `obs_sizes` (one per
    agent), `obs_size`, `state_size` (0 without a global state), `horizon` (primitive steps), `action_names` (a
    tuple per agent), `obs_dtype` (smallest exact dtype of observations), `obs_multiples` and `state_multiples`
    (which entries of a float32 observation and of the global state a replay may store as small integers; None:
    none), `optimal_return` (proven best undiscounted return, None where unknown), `best_known_return` (what
    `script()` earns where that is not proven to be the best), `fresh_observations` (False where `obs` only repeats
    the macro-observation), `name` (the id) and `options` (their values); `make` sets the last two.

    Attributes of the class that `register_environment` reads: `primitive_version` (the class of the same
    environment with actions of one step) and `presets` (named sets of options).
    """

    primitive_version: ClassVar[Callable[..., Environment] | None] = None
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    best_known_return: float | None = None
    fresh_observations = True
    obs_multiples: Multiples | None = None
    state_multiples: Multiples | None = None

    def __init__(
        self,
        *,
        action_names: Sequence[Sequence[str]],
        obs_sizes: Sequence[int],
        state_size: int,
        horizon: int,
        horizon_is_terminal: bool = False,
        obs_dtype: Any = np.float32,
        obs_multiples: Multiples | None = None,
        state_multiples: Multiples | None = None,
        optimal_return: float | None = None,
    ):
        """`action_names` and `obs_sizes` have one entry per agent; without a global state `state_size` is 0.

        With `horizon_is_terminal` a time-out is reported as `terminal`, not `truncated`. Raises ValueError, in one
        line, unless `horizon` is an integer from 1 to LONGEST_HORIZON and the two are lists of one entry or more,
        and for another argument of the wrong type.
        """
        whole = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool)
        if not whole or not 1 <= horizon <= LONGEST_HORIZON:
            allowed = f"an integer of at least 1, at most {LONGEST_HORIZON}"
            raise ValueError(f"horizon is {one_line(horizon)}, but must be {allowed}")
        self.action_names = _names_of_agents(action_names)
        self.num_agents = len(self.action_names)
        self.num_actions = tuple(len(names) for names in self.action_names)
        self.max_actions = max(self.num_actions)
        self.obs_sizes = _sizes_of_agents(obs_sizes)
        self.obs_size = max(self.obs_sizes)
        self.state_size = _count("state_size", state_size)
        self.horizon = int(horizon)
        if not isinstance(horizon_is_terminal, bool | np.bool_):
            raise ValueError(f"horizon_is_terminal is {horizon_is_terminal!r}, but must be True or False")
        self.horizon_is_terminal = bool(horizon_is_terminal)
        self.obs_dtype = _number_type(obs_dtype)
        self.obs_multiples, self.state_multiples = obs_multiples, state_multiples
        self._check_multiples()
        self.optimal_return = _number_or_none("optimal_return", optimal_return)
        self.name = type(self).__name__
        self.options: dict[str, Any] = {}

    def _check_multiples(self) -> None:
        for name, given, size in (
            ("obs_multiples", self.obs_multiples, self.obs_size),
            ("state_multiples", self.state_multiples, self.state_size),
        ):
            if given is not None and not isinstance(given, Multiples):
                raise ValueError(f"{name} is {given!r}, but must be envs.multiples.Multiples or None")
            if given is not None and (len(given.unit) != size or not any(given.unit)):
                raise ValueError(f"{name} has the units {given.unit}, but must have {size} and not only zeros")
        if self.obs_multiples is not None and self.obs_dtype != np.float32:
            raise ValueError(f"obs_multiples are for float32 observations, but obs_dtype is {self.obs_dtype}")

    def initial_physics(self, key: PRNGKeyArray) -> Any:
        """Draw the start of an episode."""
        raise NotImplementedError

    def transition(
        self, physics: Any, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Any, Outcome]:
        """One deterministic primitive step of the physics."""
        raise NotImplementedError

    def observe(self, physics: Any) -> Shaped[Array, "agents obs"]:
        """What each agent perceives now."""
        raise NotImplementedError

    def global_state(self, physics: Any) -> Shaped[Array, "state"]:
        """The true global state now."""
        raise NotImplementedError

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw one frame on matplotlib axes; `state` holds NumPy arrays. Raises ValueError without a drawing."""
        raise ValueError(f"{self.name} has no drawing: {type(self).__name__} does not define draw(state, ax)")

    def sample_noise(self, key: PRNGKeyArray) -> Any:
        """All random draws of one primitive step; an empty tuple for a deterministic environment."""
        del key
        return ()

    def observe_initial(self, physics: Any) -> Shaped[Array, "agents obs"]:
        """What each agent perceives at reset."""
        return self.observe(physics)

    def available(self, physics: Any) -> Bool[Array, "agents actions"]:
        """Macro-actions that may be started now; padding is False."""
        del physics
        return jnp.arange(self.max_actions)[None] < jnp.array(self.num_actions, jnp.int32)[:, None]

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """The best known open-loop plan, None where there is none.

        For each agent the macro-actions that it chooses one after the other; the last one repeats.
        """
        return None

    def success(self, physics: Any) -> Bool[Array, ""] | None:
        """Whether an episode that ends with `physics` did the task; None where that is not defined."""
        del physics
        return None

    def reset(self, key: PRNGKeyArray) -> tuple[EnvState, TimeStep]:
        """Start an episode: every agent must choose."""
        return self.begin(self.initial_physics(key))

    def begin(self, physics: Any) -> tuple[EnvState, TimeStep]:
        """Start an episode from given physics; numbers of Python in it become arrays."""
        physics = jax.tree.map(jnp.asarray, physics)
        obs = self.observe_initial(physics).astype(self.obs_dtype)
        per_agent = jnp.zeros(self.num_agents, jnp.int32)
        state = EnvState(
            physics=physics,
            macro_obs=obs,
            macro_action=per_agent - 1,
            elapsed=per_agent,
            ended=jnp.ones(self.num_agents, bool),
            time=jnp.int32(0),
            terminal=jnp.bool_(False),
            truncated=jnp.bool_(False),
            episode_return=jnp.float32(0),
        )
        return state, self._timestep(state, obs, jnp.float32(0))

    def step(
        self, key: PRNGKeyArray, state: EnvState, macro_actions: Integer[ArrayLike, "agents"]
    ) -> tuple[EnvState, TimeStep]:
        """One primitive step; an entry of `macro_actions` is read only where the agent must choose.

        Raises ValueError, in one line, unless `macro_actions` are integers, one for each agent. Their values are
        not checked: under `jit` they are not known.
        """
        return self.advance(state, macro_actions, self.sample_noise(key))

    def advance(
        self, state: EnvState, macro_actions: Integer[ArrayLike, "agents"], noise: Any
    ) -> tuple[EnvState, TimeStep]:
        """The deterministic part of `step`, for given draws (`noise`); recordings are replayed with it."""
        finished = state.terminal | state.truncated
        running = jnp.where(state.ended, self._choices(macro_actions), state.macro_action)
        physics, outcome = self.transition(state.physics, running, state.ended, noise)

        def unless_finished(old: Any, new: Any) -> Any:
            return jax.tree.map(lambda o, n: jnp.where(finished, o, n), old, new)

        physics = unless_finished(state.physics, physics)
        ended = unless_finished(state.ended, outcome.ended)
        time = unless_finished(state.time, state.time + 1)
        timeout = time >= self.horizon
        terminal = state.terminal | outcome.terminal & ~finished | timeout & self.horizon_is_terminal
        reward = jnp.where(finished, 0.0, outcome.reward).astype(jnp.float32)
        obs = self.observe(physics).astype(self.obs_dtype)
        state = EnvState(
            physics=physics,
            # In a finished episode `obs` and `ended` repeat themselves, and so does the macro-observation.
            macro_obs=jnp.where(ended[:, None], obs, state.macro_obs),
            macro_action=unless_finished(state.macro_action, outcome.macro_action).astype(jnp.int32),
            elapsed=jnp.where(ended, 0, unless_finished(state.elapsed, state.elapsed + 1)),
            ended=ended,
            time=time,
            terminal=terminal,
            truncated=timeout & ~terminal,
            episode_return=state.episode_return + reward,
        )
        return state, self._timestep(state, obs, reward)

    def _choices(self, macro_actions: Any) -> Int32[Array, "agents"]:
        """`macro_actions` as an array; ValueError unless they are integers, one for each agent."""
        try:
            given = jnp.asarray(macro_actions)
        except (TypeError, ValueError, OverflowError):  # a text, rows of different lengths, beyond int32
            given = None
        if given is None or given.shape != (self.num_agents,) or not jnp.issubdtype(given.dtype, jnp.integer):
            what = repr(macro_actions) if given is None else f"{given.dtype}{list(given.shape)}"
            allowed = f"an integer for each of {self.num_agents} agents (jax.vmap steps a batch)"
            raise ValueError(f"macro_actions is {what}, but must be {allowed}")
        return given.astype(jnp.int32)

    def _timestep(self, state: EnvState, obs: Shaped[Array, "agents obs"], reward: Float[Array, ""]) -> TimeStep:
        return TimeStep(
            obs=obs.astype(jnp.float32),
            macro_obs=state.macro_obs.astype(jnp.float32),
            state=self.global_state(state.physics).astype(jnp.float32),
            avail=self.available(state.physics),
            macro_action=state.macro_action,
            elapsed=state.elapsed,
            time=state.time,
            ended=state.ended,
            reward=reward,
            terminal=state.terminal,
            truncated=state.truncated,
        )


def _names_of_agents(given: Any) -> tuple[tuple[str, ...], ...]:
    """The names of every agent's macro-actions. Raises ValueError for anything but a list of names per agent."""
    if isinstance(given, Sequence) and not isinstance(given, str) and given:
        lists = all(isinstance(own, Sequence) and not isinstance(own, str) for own in given)
        if lists and all(isinstance(name, str) for own in given for name in own):
            for agent, own in enumerate(given):
                if twice := next((name for name in own if list(own).count(name) > 1), None):
                    raise ValueError(f"action_names has {twice!r} twice for agent {agent}: give each its own name")
            return tuple(tuple(own) for own in given)
    raise ValueError(f"action_names is {given!r}, but must have a list of names for each agent")


def _number_type(given: Any) -> np.dtype:
    """The dtype `given`. Raises ValueError unless it is one of bools, integers or floats."""
    try:
        found = np.dtype(given)
    except TypeError:
        found = None
    if found is None or not any(jnp.issubdtype(found, kind) for kind in (np.bool_, jnp.integer, jnp.floating)):
        raise ValueError(f"obs_dtype is {given!r}, but must be a type of bools, integers or floats")
    return found


def _count(name: str, given: Any) -> int:
    """`given` as an integer of Python. Raises ValueError unless it is one of at least 0."""
    with contextlib.suppress(TypeError):
        if not isinstance(given, bool | np.bool_) and operator.index(given) >= 0:
            return operator.index(given)
    raise ValueError(f"{name} is {one_line(given)}, but must be an integer of at least 0")


def _number_or_none(name: str, given: Any) -> float | None:
    """`given` as a number of Python. Raises ValueError unless it is a finite one or None."""
    if given is None:
        return None
    with contextlib.suppress(TypeError, ValueError):
        if not isinstance(given, bool | np.bool_ | str) and np.isfinite(float(given)):
            return float(given)
    raise ValueError(f"{name} is {one_line(given)}, but must be a finite number or None")


def _sizes_of_agents(given: Any) -> tuple[int, ...]:
    if isinstance(given, Sequence | np.ndarray) and len(given) and not isinstance(given, str):
        return tuple(_count("an entry of obs_sizes", size) for size in given)
    raise ValueError(f"obs_sizes is {given!r}, but must have the number of observation entries of each agent")
