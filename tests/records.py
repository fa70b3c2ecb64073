"""Hand-made episodes for tests: raw records from termination flags, with distinguishable observations."""

import jax.numpy as jnp
import numpy as np

from jaxmac.episode import Episode


def make_episode(
    ended,
    reward,
    *,
    macro_action=None,
    obs=None,
    avail=None,
    terminal=False,
    truncated=False,
    horizon=None,
    garbage=0,
):
    """An Episode whose observation of agent i at step t is (t, i) and whose state is (t,), unless given.

    `horizon` pads it; padding is filled with `garbage`.
    """
    ended = np.asarray(ended, bool)
    length, agents = ended.shape
    elapsed = np.zeros((length + 1, agents), np.int16)
    for t in range(length):
        elapsed[t + 1] = np.where(ended[t], 0, elapsed[t] + 1)
    steps = np.arange(length + 1, dtype=np.float32)
    if obs is None:
        obs = np.stack([np.stack([steps, np.full_like(steps, i)], -1) for i in range(agents)], 1)
    if avail is None:
        avail = np.ones((length + 1, agents, 3), bool)
    if macro_action is None:
        macro_action = np.zeros((length, agents), np.int8)
    last = np.arange(length) == length - 1
    fields = {
        "obs": np.asarray(obs, np.float32),
        "state": steps[:, None],
        "avail": avail,
        "elapsed": elapsed,
        "macro_action": np.asarray(macro_action, np.int8),
        "ended": ended,
        "reward": np.asarray(reward, np.float32),
        "terminal": last & terminal,
        "truncated": last & truncated,
        "mask": np.ones(length, bool),
    }
    if horizon is not None:
        for name, value in fields.items():
            size = horizon + (name in ("obs", "state", "avail", "elapsed"))
            fill = garbage if np.issubdtype(value.dtype, np.floating) or np.isfinite(garbage) else -1
            padding = np.full((size - len(value), *value.shape[1:]), fill).astype(value.dtype)
            fields[name] = np.concatenate([value, np.zeros_like(padding) if name == "mask" else padding])
    return Episode(**{name: jnp.asarray(value) for name, value in fields.items()})


def fields_of(batch):
    """Name -> array of everything an Episode (or a batch of them) holds."""
    return {name: value for name, value in vars(batch).items() if value is not None}
