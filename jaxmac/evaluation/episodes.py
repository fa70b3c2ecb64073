"""How good a policy is: returns with intervals, success, lengths and durations over many fresh episodes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmac import envs
from jaxmac.envs.environment import Environment
from jaxmac.record.episode import Episode, discounted_return, mark
from jaxmac.record.policy import Policy
from jaxmac.record.rollout import rollout_to_end
from jaxmac.runs.result import Result, load

LARGEST_BATCH = 500  # episodes played together, so that any number of them fits in memory
CONFIDENCE = 0.95


class Played(NamedTuple):
    """What is kept of a batch of episodes."""

    undiscounted: Float[Array, "batch"]
    discounted: Float[Array, "batch"]
    length: Int[Array, "batch"]
    success: Bool[Array, "batch"] | None  # None where the environment does not define it
    durations: Int[Array, "agents actions time+1"]  # completed macro-actions by primitive steps
    unfinished: Int[Array, "agents actions"]  # those the end of the episode cut off


def evaluate(
    run: Result | str | os.PathLike,
    episodes: int = 1000,
    seed: int = 0,
    member: int | None = None,
    *,
    epsilon: float = 0.0,
    greedy: bool | None = None,
    best: bool = False,
    env: str | Environment | None = None,
    env_options: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Play fresh episodes with what each member (or one) has learned; the same arguments give the same numbers.

    Args:
        run: a Result or a run directory.
        episodes: for each member. They are played in batches of at most `LARGEST_BATCH`, each with its own key, so
            the first ones of a larger evaluation are not those of a smaller one.
        seed: of the episodes; all members meet the same starts.
        member: only this one.
        epsilon: probability of a random macro-action.
        greedy: None judges as training did: value-based algorithms greedily, actor-critics sampled. True takes
            the most probable macro-actions of an actor-critic, False is refused for what has no probabilities.
        best: the learner of each member's best evaluation, not the last one.
        env: judge it in another environment with the same sizes.
        env_options: options of `env`, or else changes to those of the run's own environment.

    Returns one dict per member with `member`, `seed`, swept values, `episodes` and

    * `mean`, `std`, `low`, `high`: undiscounted return, its spread and the 95 % interval of the mean (Student's t);
    * `discounted_mean`, `discounted_low`, `discounted_high`: the same discounted with the member's gamma;
    * `success`, `success_low`, `success_high`: share of episodes that did the task and its 95 % interval (Wilson);
      None where the environment does not define it;
    * `length`: mean, in primitive steps;
    * `durations`: for each agent macro-action -> `completed` (how many ended), their `mean` duration in primitive
      steps, `histogram` (duration -> count), and `unfinished`: how many the end of an episode cut off.

    Raises ValueError for a value out of range, an environment of other sizes, or `greedy=False` where nothing is
    sampled; RunDirectoryError for a run that cannot be read.
    """
    _check(episodes, epsilon)
    result = run if isinstance(run, Result) else load(run)
    judged = judging_environment(result, env, env_options)
    players = result.players if judged is result.env else {}
    rows = []
    for index in range(len(result.specs)) if member is None else [member]:
        learned = result.learned(index, best)
        if (learned.group, greedy) not in players:

            def policy_of(learner: Any, hyper: Any, algorithm: Any = learned.algorithm) -> Policy:
                return _mode(algorithm.evaluation(learner, hyper), greedy, result.config["algorithm"])

            players[learned.group, greedy] = _player(judged, policy_of)
        play, gamma = players[learned.group, greedy], result.specs[index].config.gamma
        played = _play_all(play, (learned.learner, learned.hyper), episodes, seed, gamma, epsilon)
        rows.append({"member": index, **result.members[index], **_summary(judged, played)})
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
    """The same of any policy, such as `random_policy()` or `scripted_policy(env)`, which know no epsilon.

    Keys of the returned dict, from `episodes` on, and errors as of `evaluate`.
    """
    _check(episodes, epsilon)
    play = _player(env, lambda: policy)
    return _summary(env, _play_all(play, (), episodes, seed, gamma, epsilon))


def judging_environment(
    result: Result, env: str | Environment | None = None, env_options: dict[str, Any] | None = None
) -> Environment:
    """The environment to judge the policies of `result` in: its own, its own with other options, or another.

    Raises ValueError, in one line, where the sizes are not those that the policies were trained with.
    """
    if env is None and not env_options:
        return result.env
    if isinstance(env, Environment):
        if env_options:
            raise ValueError("env_options go with an environment id, not with an Environment instance")
        judged = env
    elif env is not None:
        judged = envs.make(env, **(env_options or {}))
    elif not result.config["env_rebuildable"]:
        raise ValueError(
            "env_options change an environment id, but the run was on an Environment instance: pass env="
        )
    else:
        judged = envs.make(result.config["env"], **{**result.config["env_options"], **env_options})
    _check_sizes(result.env, judged)
    return judged


def _check_sizes(trained: Environment, judged: Environment) -> None:
    sizes = {
        "num_agents": "number of agents",
        "num_actions": "macro-actions",
        "obs_sizes": "observation sizes",
        "state_size": "state size",
    }
    for name, words in sizes.items():
        needed, there = getattr(trained, name), getattr(judged, name)
        if needed != there:
            what = f"{judged.name} has {words} {there}, the policy needs {needed}"
            raise ValueError(f"{what}, as {trained.name} has: judge it in an environment of the same sizes")


def _check(episodes: int, epsilon: float) -> None:
    if isinstance(episodes, bool) or not isinstance(episodes, int | np.integer) or episodes < 1:
        raise ValueError(f"episodes={episodes!r} is out of range; allowed: >= 1")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon={epsilon!r} is out of range; allowed: >= 0 and <= 1")


def _mode(policy: Policy, greedy: bool | None, algorithm: str) -> Policy:
    """The policy as asked for: as it is judged in training, greedy, or sampled."""
    draws = policy.act_greedily is not None
    if greedy is False and not draws:
        raise ValueError(f"{algorithm} has no probabilities to sample from: it is judged greedily, with epsilon")
    return Policy(policy.initial_carry, policy.act_greedily) if greedy and draws else policy


def _player(env: Environment, policy_of: Callable[..., Policy]) -> Callable[..., Played]:
    """A compiled `(arguments of policy_of, key, epsilon [batch], gamma) -> Played`."""

    @jax.jit
    def play(arguments: tuple, key: Array, epsilon: Float[Array, "batch"], gamma: Float[Array, ""]) -> Played:
        episodes, ends = rollout_to_end(env, policy_of(*arguments), key, epsilon)
        durations, unfinished = jax.vmap(lambda episode: _durations(env, episode))(episodes)
        return Played(
            episodes.undiscounted_return,
            discounted_return(episodes, gamma),
            episodes.length,
            jax.vmap(env.success)(ends.physics),
            durations,
            unfinished,
        )

    return play


def _durations(env: Environment, episode: Episode) -> tuple[Array, Array]:
    """Completed macro-actions by duration `[agents, actions, time+1]`, and those cut off `[agents, actions]`."""
    marks = mark(episode, close_on_terminal=False)
    agents, running = jnp.arange(env.num_agents), episode.macro_action.astype(jnp.int32)
    completed = jnp.zeros((env.num_agents, env.max_actions, env.horizon + 1), jnp.int32)
    completed = completed.at[agents, running, marks.duration].add(marks.ended)
    last = episode.length - 1
    cut_off = jnp.zeros((env.num_agents, env.max_actions), jnp.int32)
    return completed, cut_off.at[agents, running[last]].add(~marks.ended[last])


def _play_all(
    play: Callable[..., Played], arguments: tuple, episodes: int, seed: int, gamma: float, epsilon: float
) -> Played:
    """Exactly `episodes` episodes, in equal batches that are summed up or put together on the host."""
    batches = -(-episodes // LARGEST_BATCH)
    batch = -(-episodes // batches)
    found, key = [], jax.random.key(seed)
    for number in range(batches):
        counted = min(batch, episodes - number * batch)  # the last batch may be too long
        played = play(arguments, jax.random.fold_in(key, number), jnp.full(batch, epsilon), jnp.float32(gamma))
        played = jax.tree.map(lambda x, counted=counted: np.asarray(x)[:counted], played)
        sums = played.durations.sum(axis=0, dtype=np.int64), played.unfinished.sum(axis=0, dtype=np.int64)
        found.append(played._replace(durations=sums[0][None], unfinished=sums[1][None]))
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    return whole._replace(durations=whole.durations.sum(axis=0), unfinished=whole.unfinished.sum(axis=0))


def _summary(env: Environment, played: Played) -> dict[str, Any]:
    mean, low, high = mean_interval(played.undiscounted)
    discounted_mean, discounted_low, discounted_high = mean_interval(played.discounted)
    success, success_low, success_high = share_interval(played.success)
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


def _histogram(played: Played, agent: int, action: int) -> dict[str, Any]:
    counts = played.durations[agent, action]
    completed = int(counts.sum())
    return {
        "completed": completed,
        "mean": float(counts @ np.arange(counts.size) / completed) if completed else math.nan,
        "histogram": {int(steps): int(counts[steps]) for steps in np.flatnonzero(counts)},
        "unfinished": int(played.unfinished[agent, action]),
    }


def mean_interval(values: Float[np.ndarray, "episodes"]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t, `(mean, low, high)`; the ends are NaN for a single value.

    The bootstrap of `jaxmac.analysis.interval` is for a handful of members; for many episodes it needs gigabytes.
    """
    from scipy.stats import t

    mean, count = float(values.mean(dtype=float)), len(values)
    if count < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1) * values.std(ddof=1, dtype=float) / math.sqrt(count))
    return mean, mean - half, mean + half


def share_interval(hits: Bool[np.ndarray, "episodes"] | None) -> tuple[float | None, float | None, float | None]:
    """Share of True and its 95 % Wilson interval, `(share, low, high)`; Nones without values."""
    from scipy.stats import binomtest

    if hits is None:
        return None, None, None
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(CONFIDENCE, method="wilson")
    return float(hits.mean()), float(found.low), float(found.high)
