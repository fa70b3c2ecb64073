"""Evaluation on fresh episodes: returns with intervals, success rate, lengths, durations of macro-actions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmac.arguments import check_environment_made, check_positive, check_switches, is_integer
from jaxmac.envs.arguments import check_seed, python_value
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.errors import bytes_in_words
from jaxmac.record.episode import Episode, discounted_return, mark
from jaxmac.record.policy import Policy, check_policy, random_policy
from jaxmac.record.rollout import rollout, rollout_to_end
from jaxmac.runs.contents import attributes_of
from jaxmac.runs.result import Result, load
from jaxmac.training.checks import environment_of, exact_options
from jaxmac.training.memory import available_bytes, tree_bytes

MOST_EPISODES = 10**7  # a mean of so many has an error of 0.03 % of the standard deviation
LARGEST_BATCH = 500  # episodes played at once; more are played in several batches, to bound the memory
CONFIDENCE = 0.95  # of all intervals


class EpisodeStatistics(NamedTuple):
    """What is kept of a batch of episodes."""

    undiscounted: Float[Array, "batch"]
    discounted: Float[Array, "batch"]
    length: Int[Array, "batch"]
    success: Bool[Array, "batch"] | None  # None where the environment does not define it
    durations: Int[Array, "agents actions time+1"]  # completed macro-actions by primitive steps
    unfinished: Int[Array, "agents actions"]  # macro-actions that the end of the episode cut off


def evaluate(
    run: Result | str | os.PathLike,
    episodes: int = 1000,
    seed: int = 0,
    member: int | None = None,
    *,
    epsilon: float | None = None,
    greedy: bool | None = None,
    best: bool = False,
    env: str | Environment | None = None,
    env_options: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Play fresh episodes with the learned policy of each member. The same arguments give the same numbers.

    Args:
        run: a Result or a run directory.
        episodes: number of episodes for each member, at most 10^7. They are played in batches of at most
            500, each with its own key, so the episodes of a small evaluation need not be among those of
            a larger one.
        seed: of the episodes; all members start from the same initial states.
        member: evaluate this member only.
        epsilon: probability of a uniformly random available macro-action in place of the policy's; where the
            policy samples, the share of uniform choices among all macro-actions, of which it draws an available
            one. None takes the member's `eval_epsilon`, with which training evaluated it (0 unless it was set).
        greedy: None evaluates as training did: value-based algorithms act greedily, actor-critics sample. True
            takes the most probable macro-actions of an actor-critic. False demands sampling.
        best: take the learner of each member's best evaluation during training instead of the last one.
        env: evaluate in another environment, which must have the same sizes.
        env_options: options of `env`, or without it changes to the options of the run's own environment.

    Returns:
        One dict per member, with `member`, `seed`, the swept values, `episodes` and

        * `mean`, `std`, `low`, `high`: undiscounted return, its standard deviation over episodes, and the 95 %
          interval of the mean (Student's t);
        * `discounted_mean`, `discounted_low`, `discounted_high`: the same, discounted with the member's gamma;
        * `success`, `success_low`, `success_high`: share of successful episodes with its 95 % interval (Wilson);
          None where the environment does not define success;
        * `length`: mean length in primitive steps;
        * `durations`: a dict for each agent, macro-action -> `completed` (how many ended), `mean` (their mean
          duration in primitive steps), `histogram` (duration -> count) and `unfinished` (how many the end of an
          episode cut off).

    Raises:
        ValueError: a value is out of range, the environment has other sizes, or `greedy=False` for a policy that
            has no probabilities.
        RunDirectoryError: the run cannot be read.
    """
    _check(episodes, seed, 0.0 if epsilon is None else epsilon)
    check_switches(best=best, **({} if greedy is None else {"greedy": greedy}))
    if member is not None and not is_integer(member):
        raise ValueError(f"member is {one_line(member)}, but must be the index of a member, or None for all")
    result = run if isinstance(run, Result) else load(run)
    environment = evaluation_environment(result, env, env_options)
    players = result.players if environment is result.env else {}
    played_in = id(environment), attributes_of(environment)  # it may be changed between two calls
    rows = []
    for index in range(len(result.specs)) if member is None else [member]:
        learned = result.learned(index, best)
        key = (learned.group, greedy)
        if players.get(key, (None,))[0] != played_in:
            _refuse_if_too_large(environment, episodes)

            def policy_of(learner: Any, hyper: Any, algorithm: Any = learned.algorithm) -> Policy:
                return _greedy_or_sampled(algorithm.evaluation(learner, hyper), greedy, result.config["algorithm"])

            players[key] = played_in, environment, _player(environment, policy_of)
        play, config = players[key][2], result.specs[index].config
        chance = config.eval_epsilon if epsilon is None else epsilon
        played = _play_all(play, (learned.learner, learned.hyper), episodes, seed, config.gamma, chance)
        played_in = id(environment), attributes_of(environment)  # tracing it may have set some
        players[key] = played_in, *players[key][1:]
        rows.append({"member": index, **result.members[index], **_summary(environment, played)})
    return rows


def evaluate_policy(
    env: Environment,
    policy: Policy,
    episodes: int = 1000,
    seed: int = 0,
    *,
    gamma: float = 0.99,
    epsilon: float = 0.0,
) -> dict[str, Any]:
    """Play fresh episodes with any policy, such as `jaxmac.random_policy()` or `jaxmac.scripted_policy(env)`.

    Args:
        env: the environment.
        policy: the policy.
        episodes: number of episodes.
        seed: of the episodes.
        gamma: discount of the discounted returns.
        epsilon: handed to `policy.act`; random and scripted policies ignore it.

    Returns:
        The dict that `evaluate` returns for a member, from `episodes` on. ValueError as there.
    """
    check_environment_made(env)
    check_policy(policy)
    _check(episodes, seed, epsilon, gamma)
    _refuse_if_too_large(env, episodes)
    play = _player(env, lambda: policy)
    return _summary(env, _play_all(play, (), episodes, seed, gamma, epsilon))


def evaluation_environment(
    result: Result, env: str | Environment | None = None, env_options: dict[str, Any] | None = None
) -> Environment:
    """The environment to evaluate the policies of `result` in: its own, its own with other options, or another.

    Raises ValueError, in one line, where its sizes are not those that the policies were trained with.
    """
    if env is None and not env_options:
        return result.env
    if env is not None:
        chosen = environment_of(env, env_options)
    elif not result.config["env_rebuildable"]:
        raise ValueError(
            "env_options need an environment id, but the run was on an Environment instance: pass env="
        )
    else:
        options = result.config["env_options"] | exact_options(env_options)
        chosen = environment_of(result.config["env"], options)
    _check_sizes(result.env, chosen)
    return chosen


def _check_sizes(trained: Environment, chosen: Environment) -> None:
    """Raise a one-line ValueError unless both environments have the same sizes."""
    sizes = {
        "num_agents": "number of agents",
        "num_actions": "macro-actions",
        "obs_sizes": "observation sizes",
        "state_size": "state size",
    }
    for name, words in sizes.items():
        needed, found = getattr(trained, name), getattr(chosen, name)
        if needed != found:
            difference = f"{chosen.name} has {words} {found}, the policy needs {needed}, as {trained.name} has"
            raise ValueError(f"{difference}: evaluate it in an environment of the same sizes")


def _check(episodes: int, seed: int, epsilon: float, gamma: float = 0.0) -> None:
    """Raise a one-line ValueError for arguments out of range."""
    check_positive("episodes", episodes)
    if episodes > MOST_EPISODES:
        raise ValueError(f"episodes is {one_line(episodes)}, but must be <= {MOST_EPISODES}")
    check_seed(seed)
    for name, value in (("epsilon", epsilon), ("gamma", gamma)):
        number = python_value(value)
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number <= 1:
            raise ValueError(f"{name} is {one_line(value)}, but must be >= 0 and <= 1")


def _refuse_if_too_large(env: Environment, episodes: int) -> None:
    """Raise MemoryError, before anything compiles, if a batch of episodes is not expected to fit into memory."""
    batch = min(episodes, LARGEST_BATCH)
    shapes = jax.eval_shape(partial(rollout, env, random_policy()), jax.random.key(0), jnp.zeros(batch))
    needed, available = int(2 * tree_bytes(shapes)), available_bytes()
    if needed > available:
        sizes = f"{bytes_in_words(needed)} and {bytes_in_words(available)} are free"
        raise MemoryError(
            f"{batch} episodes of {env.name} at once need about {sizes}; try fewer, or a shorter horizon"
        )


def _greedy_or_sampled(policy: Policy, greedy: bool | None, algorithm: str) -> Policy:
    """The policy as training evaluated it (`greedy=None`), greedy, or sampled."""
    if greedy is False and policy.act_greedily is None:
        raise ValueError(f"{algorithm} has no probabilities to sample from: greedy=False is for actor-critics")
    if not greedy or policy.act_greedily is None:
        return policy
    return Policy(policy.initial_carry, policy.act_greedily)


def _player(env: Environment, policy_of: Callable[..., Policy]) -> Callable[..., EpisodeStatistics]:
    """A compiled function `(arguments of policy_of, key, epsilon [batch], gamma) -> EpisodeStatistics`."""

    @jax.jit
    def play(
        arguments: tuple, key: Array, epsilon: Float[Array, "batch"], gamma: Float[Array, ""]
    ) -> EpisodeStatistics:
        episodes, ends = rollout_to_end(env, policy_of(*arguments), key, epsilon)
        durations, unfinished = jax.vmap(lambda episode: _durations(env, episode))(episodes)
        return EpisodeStatistics(
            episodes.undiscounted_return,
            discounted_return(episodes, gamma),
            episodes.length,
            jax.vmap(env.success)(ends.physics),
            durations,
            unfinished,
        )

    return play


def _durations(env: Environment, episode: Episode) -> tuple[Array, Array]:
    """Counts of macro-actions: completed by duration `[agents, actions, time+1]`, cut off `[agents, actions]`."""
    marks = mark(episode, close_on_terminal=False)
    agents, running = jnp.arange(env.num_agents), episode.macro_action.astype(jnp.int32)
    completed = jnp.zeros((env.num_agents, env.max_actions, env.horizon + 1), jnp.int32)
    completed = completed.at[agents, running, marks.duration].add(marks.ended)
    last = episode.length - 1
    cut_off = jnp.zeros((env.num_agents, env.max_actions), jnp.int32)
    return completed, cut_off.at[agents, running[last]].add(~marks.ended[last])


def _play_all(
    play: Callable[..., EpisodeStatistics], arguments: tuple, episodes: int, seed: int, gamma: float, epsilon: float
) -> EpisodeStatistics:
    """Play exactly `episodes` episodes, in batches of equal size that are joined on the host."""
    batches = -(-episodes // LARGEST_BATCH)
    batch = -(-episodes // batches)
    found, key = [], jax.random.key(seed)
    for number in range(batches):
        counted = min(batch, episodes - number * batch)  # the last batch may hold more episodes than are needed
        played = play(
            arguments, jax.random.fold_in(key, number), jnp.full(batch, epsilon, jnp.float32), jnp.float32(gamma)
        )
        played = jax.tree.map(lambda x, counted=counted: np.asarray(x)[:counted], played)
        sums = played.durations.sum(axis=0, dtype=np.int64), played.unfinished.sum(axis=0, dtype=np.int64)
        found.append(played._replace(durations=sums[0][None], unfinished=sums[1][None]))
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    return whole._replace(durations=whole.durations.sum(axis=0), unfinished=whole.unfinished.sum(axis=0))


def _summary(env: Environment, played: EpisodeStatistics) -> dict[str, Any]:
    """The row of a member, from `episodes` on."""
    mean, low, high = mean_interval(np.asarray(played.undiscounted))
    discounted_mean, discounted_low, discounted_high = mean_interval(np.asarray(played.discounted))
    success, success_low, success_high = share_interval(
        None if played.success is None else np.asarray(played.success)
    )
    return {
        "episodes": len(played.length),
        "mean": mean,
        "std": float(played.undiscounted.std(dtype=float)),
        "low": low,
        "high": high,
        "discounted_mean": discounted_mean,
        "discounted_low": discounted_low,
        "discounted_high": discounted_high,
        "success": success,
        "success_low": success_low,
        "success_high": success_high,
        "length": float(played.length.mean()),
        "durations": [
            {name: _histogram(played, agent, action) for action, name in enumerate(names)}
            for agent, names in enumerate(env.action_names)
        ],
    }


def _histogram(played: EpisodeStatistics, agent: int, action: int) -> dict[str, Any]:
    """How often and how long one macro-action of one agent was executed."""
    counts = played.durations[agent, action]
    completed = int(counts.sum())
    return {
        "completed": completed,
        "mean": float(counts @ np.arange(counts.size) / completed) if completed else math.nan,
        "histogram": {int(steps): int(counts[steps]) for steps in np.flatnonzero(counts)},
        "unfinished": int(played.unfinished[agent, action]),
    }


def mean_interval(values: Float[np.ndarray, "episodes"]) -> tuple[float, float, float]:
    """Mean with its 95 % interval by Student's t, `(mean, low, high)`; `low` and `high` are NaN for a single value.

    The bootstrap of `jaxmac.analysis.interval` is meant for a handful of members; for many episodes it would need
    gigabytes.
    """
    from scipy.stats import t

    mean, count = float(values.mean(dtype=float)), len(values)
    if count < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1) * values.std(ddof=1, dtype=float) / math.sqrt(count))
    return mean, mean - half, mean + half


def share_interval(hits: Bool[np.ndarray, "episodes"] | None) -> tuple[float | None, float | None, float | None]:
    """Share of True with its 95 % Wilson interval, `(share, low, high)`; all None if `hits` is None."""
    from scipy.stats import binomtest

    if hits is None:
        return None, None, None
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(CONFIDENCE, method="wilson")
    return float(hits.mean()), float(found.low), float(found.high)
