"""A JaxMARL environment as one of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxmarl.environments.multi_agent_env import MultiAgentEnv
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxmac.envs.environment import Environment, EnvState, Outcome
from jaxmac.envs.shapes import kind_and_line

REWARDS: dict[str, Callable[[Array], Array]] = {"mean": partial(jnp.mean, axis=0), "sum": partial(jnp.sum, axis=0)}
Dict = dict[str, Array]


class Physics(struct.PyTreeNode):
    """The other environment's state, and the observations of its last step."""

    world: Any
    obs: Shaped[Array, "... agents obs"]


class FromJaxMARL(Environment):
    """Every action of the other environment is a macro-action of one step.

    * Observation: the agent's, flattened, padded on the right where agents differ.
    * State: `state` if given, else `get_world_state` where there is one, else all observations in a row.
    * Availability: `get_avail_actions` (or `get_legal_moves`) where there is one. For actions out of `actions=` it
      holds where those are indices of a `Discrete` space; choices out of other spaces are always available.
    * End: `dones["__all__"]` is `terminal`. Episodes do not start again by themselves. An environment that counts
      its own time limit in `dones` ends `terminal` there; to have it as `truncated`, build it with a larger limit
      and give `horizon`.
    """

    def __init__(
        self,
        env: MultiAgentEnv,
        *,
        horizon: int | None = None,
        reward: str | Callable[[Dict, dict[str, Any]], Array] = "mean",
        actions: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
        action_names: Sequence[str] | None = None,
        state: Callable[[Any], Array] | None = None,
        draw: Callable[[Any, Any], None] | None = None,
        name: str | None = None,
    ):
        """Wrap `env`.

        Args:
            env: the environment, not a wrapper around it.
            horizon: primitive steps of an episode (None: its `max_steps`).
            reward: the team's reward from the agents': their "mean" (where all get the same: that), their "sum", or
                a function of the dict of rewards and the info of a step.
            actions: for action spaces that are not `Discrete`, the values to choose among, `[actions, ...]`, the
                same for every agent or a dict of agents.
            action_names: names of the actions, of the agent with the most.
            state: the global state `[state]` from the environment's state.
            draw: `(its state with NumPy arrays, matplotlib axes)`, for animations.
            name: shown in titles and files (None: the environment's).

        Raises ValueError, in one line, for what does not fit.
        """
        if not isinstance(env, MultiAgentEnv):
            problem = f"env is a {type(env).__name__}, but must be a jaxmarl MultiAgentEnv"
            raise ValueError(problem + (", without its wrapper" if hasattr(env, "_env") else ""))
        self.env, self.agents = env, tuple(env.agents)
        _check_arguments(action_names, state, draw, name)
        key = jax.eval_shape(lambda: jax.random.key(0))
        observations, world = _shapes_of(f"reset of {env.name}", _pair_of(env.reset), key)
        self._check_observations(observations)
        self.tables = None if actions is None else self._tables(actions)
        counts = [len(t) for t in self.tables.values()] if self.tables else self._counts()
        self.avail_of = self._availability(world)
        self.reward_of, self.state_of, self.draw_world = reward, state, draw
        self._check_reward()
        later, self.world = self._shapes(key, world)
        self._check_observations(later, "step_env")
        if state is None and hasattr(env, "get_world_state"):
            self.state_of = env.get_world_state
        sizes = [int(np.prod(observations[agent].shape)) for agent in self.agents]
        super().__init__(
            action_names=[_names(action_names, count) for count in counts],
            obs_sizes=sizes,
            state_size=sum(sizes) if self.state_of is None else _state_size(self.state_of, world),
            horizon=self._horizon(horizon),
            obs_dtype=_smallest_dtype(
                [given[agent].dtype for given in (observations, later) for agent in self.agents]
            ),
        )
        self.name = name or env.name

    def _counts(self) -> list[int]:
        """Number of actions of each agent."""
        counts = []
        for agent in self.agents:
            space = self.env.action_space(agent)
            if not hasattr(space, "n"):
                kind = f"{type(space).__name__}{list(getattr(space, 'shape', ()))}"
                needed = "pass actions=, the values to choose among"
                raise ValueError(f"the actions of {agent} are {kind}, not Discrete: {needed}")
            counts.append(int(space.n))
        return counts

    def _tables(self, actions: Any) -> dict[str, np.ndarray]:
        """For each agent the actions that its choices stand for, `[actions, ...]`."""
        given = actions if isinstance(actions, Mapping) else dict.fromkeys(self.agents, actions)
        if set(given) != set(self.agents):
            raise ValueError(f"actions is for {sorted(given)}, but must be for the agents {sorted(self.agents)}")
        tables = {agent: _numbers(agent, given[agent]) for agent in self.agents}
        for agent, table in tables.items():
            shape = tuple(getattr(self.env.action_space(agent), "shape", ()))
            if table.ndim < 1 or len(table) < 1 or table.shape[1:] != shape:
                due = f"[actions, *{list(shape)}]"
                raise ValueError(f"actions of {agent} has shape {list(table.shape)}, but must have {due}")
            count = getattr(self.env.action_space(agent), "n", None)
            if count is not None and not (np.isin(table, np.arange(int(count))).all()):
                wrong = table[~np.isin(table, np.arange(int(count)))][0]
                raise ValueError(f"actions of {agent} has {wrong}, but its space has the actions 0 to {count - 1}")
        return tables

    def _availability(self, world: Any) -> Callable[[Any], Dict] | None:
        """The function that says which actions are available, None where there is none."""
        for name in ("get_avail_actions", "get_legal_moves"):
            try:
                masks = jax.eval_shape(getattr(self.env, name), world)
            except (AttributeError, NotImplementedError):
                continue
            for agent in self.agents:
                count = getattr(self.env.action_space(agent), "n", 0)
                size = int(np.prod(masks[agent].shape)) if agent in masks else 0
                if size < count:
                    raise ValueError(f"{name} gives {size} entries for {agent}, which has {count} actions")
            function: Callable[[Any], Dict] = getattr(self.env, name)
            return function
        return None

    def _check_observations(self, observations: Any, function: str = "reset") -> None:
        missing = [
            agent for agent in self.agents if not isinstance(observations, Mapping) or agent not in observations
        ]
        if missing:
            given = (
                sorted(map(str, observations)) if isinstance(observations, Mapping) else type(observations).__name__
            )
            raise ValueError(f"{function} of {self.env.name} gives {given}, but must give a dict with {missing}")

    def _horizon(self, horizon: int | None) -> int:
        if horizon is not None:
            return horizon
        own = getattr(self.env, "max_steps", None)
        if own is None:
            raise ValueError(f"{self.env.name} has no max_steps: pass horizon=, the primitive steps of an episode")
        return int(own)

    def _check_reward(self) -> None:
        named = isinstance(self.reward_of, str) and self.reward_of in REWARDS
        if not callable(self.reward_of) and not named:
            allowed = f"{' or '.join(map(repr, REWARDS))} or a function of rewards and info"
            raise ValueError(f"reward is {self.reward_of!r}, but must be {allowed}")

    def _shapes(self, key: Any, world: Any) -> tuple[Dict, Any]:
        """Observations of a step, and the state in the dtypes that hold all that reset and steps give: shapes."""
        choices = jax.ShapeDtypeStruct((len(self.agents),), jnp.int32)
        # A leaf may widen another one a step later, so until nothing changes: dtypes only ever widen.
        while True:
            step = f"step_env of {self.env.name}" + (", or reward," if callable(self.reward_of) else "")
            observations, after, reward, _ = _shapes_of(step, self._play, key, world, choices)
            if getattr(reward, "shape", None) != ():
                raise ValueError(f"reward gives {getattr(reward, 'shape', reward)}, but must give a scalar")
            before, world = world, jax.tree.map(_wider, world, after)
            if jax.tree.leaves(world) == jax.tree.leaves(before):
                return observations, world

    def _play(self, key: PRNGKeyArray, world: Any, choices: Int[Array, "agents"]) -> tuple[Dict, Any, Array, Dict]:
        """One step of the other environment: observations, state, team reward, dones."""
        actions: Dict = {agent: choices[i] for i, agent in enumerate(self.agents)}
        if self.tables:
            actions = {agent: jnp.asarray(self.tables[agent])[choice] for agent, choice in actions.items()}
        observations, world, rewards, dones, info = self.env.step_env(key, world, actions)
        if callable(self.reward_of):
            return observations, world, self.reward_of(rewards, info), dones
        reward = REWARDS[self.reward_of](jnp.stack([jnp.float32(rewards[agent]) for agent in self.agents]))
        return observations, world, reward, dones

    def _stack(self, observations: Dict) -> Shaped[Array, "agents obs"]:
        """Flat observations, padded."""
        flat = [jnp.ravel(observations[agent]).astype(self.obs_dtype) for agent in self.agents]
        return jnp.stack([jnp.pad(x, (0, self.obs_size - x.size)) for x in flat])

    def initial_physics(self, key: PRNGKeyArray) -> Physics:
        """The reset of the other environment."""
        observations, world = self.env.reset(key)
        return Physics(jax.tree.map(_as, world, self.world), self._stack(observations))

    def sample_noise(self, key: PRNGKeyArray) -> PRNGKeyArray:
        """The key itself: the other environment's step draws from it."""
        return key

    def transition(
        self,
        physics: Physics,
        macro_actions: Int[Array, "agents"],
        started: Bool[Array, "agents"],
        noise: PRNGKeyArray,
    ) -> tuple[Physics, Outcome]:
        """The other environment's `step_env`, which does not start a new episode."""
        del started
        observations, world, reward, dones = self._play(noise, physics.world, macro_actions)
        # Some environments change a dtype from reset to step, or return Python numbers.
        world = jax.tree.map(_as, world, self.world)
        ended = jnp.ones(self.num_agents, bool)
        outcome = Outcome(ended, macro_actions, reward, jnp.asarray(dones["__all__"], bool))
        return Physics(world, self._stack(observations)), outcome

    def observe(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """The observations of the last step."""
        return physics.obs

    def global_state(self, physics: Physics) -> Float[Array, "state"]:
        """The other environment's global state, or every agent's observation."""
        if self.state_of is not None:
            return jnp.ravel(self.state_of(physics.world)).astype(jnp.float32)
        unpadded = [physics.obs[i, :size] for i, size in enumerate(self.obs_sizes)]
        return jnp.concatenate(unpadded).astype(jnp.float32)

    def available(self, physics: Physics) -> Bool[Array, "agents actions"]:
        """The other environment's available actions; padding is False."""
        mask = super().available(physics)
        if self.avail_of is None:
            return mask
        of_agents = self.avail_of(physics.world)
        for i, (agent, count) in enumerate(zip(self.agents, self.num_actions, strict=True)):
            indices = self.tables[agent].astype(int) if self.tables else np.arange(count)
            if hasattr(self.env.action_space(agent), "n"):
                mask = mask.at[i, :count].set(jnp.ravel(of_agents[agent])[indices].astype(bool))
        return mask

    def draw(self, state: EnvState, ax: Any) -> None:
        """What the argument `draw` draws, with the caption of every environment."""
        from jaxmac.envs.rendering import draw_caption

        if self.draw_world is None:
            raise ValueError(f"{self.name} has no drawing: pass draw= to from_jaxmarl")
        self.draw_world(state.physics.world, ax)
        draw_caption(self, state, ax)


def _numbers(agent: str, given: Any) -> np.ndarray:
    """The values of `actions` as an array. Raises ValueError for what is none of numbers."""
    try:
        table = np.asarray(given)
    except ValueError:  # rows of different lengths
        table = np.asarray(None)
    if table.dtype.kind not in "biuf" or not np.isfinite(table).all():
        raise ValueError(f"actions of {agent} is {given!r}, but must be an array of finite numbers")
    return table


def _check_arguments(action_names: Any, state: Any, draw: Any, name: Any) -> None:
    listed = isinstance(action_names, Sequence) and not isinstance(action_names, str)
    if action_names is not None and not (listed and all(isinstance(one, str) for one in action_names)):
        raise ValueError(f"action_names is {action_names!r}, but must be a list of names")
    for label, function in (("state", state), ("draw", draw)):
        if function is not None and not callable(function):
            raise ValueError(f"{label} is {function!r}, but must be a function")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"name is {name!r}, but must be a string")


def _shapes_of(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Shapes and dtypes of what a function of the user gives; ValueError, in one line, if it raises."""
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:  # of whatever kind
        raise ValueError(f"{what} raised {kind_and_line(error)}") from error


def _pair_of(reset: Callable[..., Any]) -> Callable[[Any], tuple[Any, Any]]:
    def pair(key: Any) -> tuple[Any, Any]:
        observations, world = reset(key)
        return observations, world

    return pair


def _state_size(state_of: Callable[[Any], Array], world: Any) -> int:
    shape = _shapes_of("state", state_of, world)
    if not isinstance(shape, jax.ShapeDtypeStruct):
        raise ValueError(f"state gives {type(shape).__name__}, but must give an array [state]")
    return int(np.prod(shape.shape))


def _wider(one: jax.ShapeDtypeStruct, other: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """The shape of `one` in the dtype that holds both; keys of JAX have one of their own."""
    same = one.dtype == other.dtype
    return jax.ShapeDtypeStruct(one.shape, one.dtype if same else jnp.promote_types(one.dtype, other.dtype))


def _as(value: Any, like: jax.ShapeDtypeStruct) -> Array:
    value = jnp.asarray(value)
    return value if value.dtype == like.dtype else value.astype(like.dtype)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [f"action {k}" for k in range(count)]
    if len(names) < count:
        raise ValueError(f"action_names has {len(names)} names, but an agent has {count} actions")
    return list(names[:count])


def _smallest_dtype(dtypes: list[Any]) -> np.dtype:
    """The smallest dtype that represents every observation; float32 for all but small integers."""
    common = np.result_type(*dtypes)
    return common if common in (np.uint8, np.int8, np.int16, np.uint16, np.bool_) else np.dtype(np.float32)
