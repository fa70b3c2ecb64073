"""Random stored episodes of a made-up team: consistent records, partial availability, garbage behind their end."""

import jax
import numpy as np

from jaxmac.envs.environment import Environment
from jaxmac.record.episode import Episode


class Team(Environment):
    """The sizes of three unequal agents; it is never stepped."""

    def __init__(self):
        names = (("a", "b"), ("a", "b", "c", "d"), ("a", "b", "c"))
        super().__init__(obs_sizes=(2, 3, 1), state_size=2, horizon=9, action_names=names)


def random_batch(seed, team, count):
    """A batch of Episodes `[count, time, ...]`.

    The first lasts until the horizon, in the second no macro-action ever ends, the others end anywhere; the third,
    fifth and so on end in a terminal state. Padding holds NaN, impossible numbers and random flags.
    """
    rng = np.random.default_rng(seed)
    lengths = [team.horizon, 2, *rng.integers(1, team.horizon + 1, count)][:count]
    episodes = [random_episode(rng, team, length, index) for index, length in enumerate(lengths)]
    return Episode(**jax.device_put({name: np.stack([e[name] for e in episodes]) for name in episodes[0]}))


def random_episode(rng, team, length, index):
    """The fields of one episode, padded to the horizon."""
    agents = team.num_agents
    ended = (rng.random((length, agents)) < 0.35) & (index != 1)
    elapsed = np.zeros((length + 1, agents), np.int8)
    for step in range(length):
        elapsed[step + 1] = np.where(ended[step], 0, elapsed[step] + 1)
    avail = random_availability(rng, team, length + 1)
    obs = rng.normal(size=(length + 1, agents, team.obs_size)).astype(np.float32)
    obs *= np.arange(team.obs_size) < np.array(team.obs_sizes)[:, None]
    is_last, is_terminal = np.arange(length) == length - 1, index % 2 == 0 and index > 0
    fields = {
        "obs": obs,
        "state": rng.normal(size=(length + 1, team.state_size)).astype(np.float32),
        "avail": avail,
        "elapsed": elapsed,
        "macro_action": random_macro_actions(rng, team, avail, elapsed).astype(np.int8),
        "ended": ended,
        "reward": rng.normal(size=length).astype(np.float32),
        "terminal": is_last & is_terminal,
        "truncated": is_last & (not is_terminal),
        "mask": np.ones(length, bool),
    }
    return {name: with_garbage(rng, team, name, value) for name, value in fields.items()}


def random_availability(rng, team, entries):
    """`[entries, agents, actions]`: at least one real macro-action for every agent, new ones at every entry."""
    shape = entries, team.num_agents, team.max_actions
    counts = np.array(team.num_actions)
    available = (rng.random(shape) < 0.6) & (np.arange(team.max_actions) < counts[:, None])
    sure = rng.integers(0, counts, shape[:2])
    return available | (np.arange(team.max_actions) == sure[..., None])


def random_macro_actions(rng, team, avail, elapsed):
    """`[steps, agents]`: an available one at each choice, then the same; now and then the physics force another."""
    steps = len(elapsed) - 1
    running = np.zeros((steps, team.num_agents), int)
    for step in range(steps):
        for agent in range(team.num_agents):
            if elapsed[step, agent] == 0:
                running[step, agent] = rng.choice(np.flatnonzero(avail[step, agent]))
            elif rng.random() < 0.1:
                running[step, agent] = rng.integers(team.num_actions[agent])
            else:
                running[step, agent] = running[step - 1, agent]
    return running


def with_garbage(rng, team, name, value):
    """`value` with room for the horizon, filled with what must not be read."""
    entries = team.horizon + (name in ("obs", "state", "avail", "elapsed"))
    shape = entries - len(value), *value.shape[1:]
    if name == "mask":
        padding = np.zeros(shape, bool)
    elif value.dtype == bool:
        padding = rng.random(shape) < 0.5
    elif value.dtype == np.float32:
        padding = np.full(shape, np.nan, np.float32)
    else:
        padding = rng.integers(-5, 100, shape)
    return np.concatenate([value, padding.astype(value.dtype)])
