"""Hand-made episodes for tests: raw records from termination flags, with distinguishable observations."""

import jax
import numpy as np

from jaxmac.record.episode import Episode


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
    return Episode(**jax.device_put(fields))


def fields_of(batch):
    """Name -> array of everything an Episode (or a batch of them) holds."""
    return {name: value for name, value in vars(batch).items() if value is not None}


def spoiled_after_the_end(batch):
    """A batch of episodes with garbage wherever they have ended, which some of them must have before the limit."""
    batch = jax.device_get(batch)
    assert not batch.mask.all()
    dirty = {}
    for name, value in fields_of(batch).items():
        first = np.ones(
            (len(value), value.shape[1] - batch.mask.shape[1]), bool
        )  # what is reached has an entry more
        real = np.concatenate([first, batch.mask], axis=1).reshape(value.shape[:2] + (1,) * (value.ndim - 2))
        junk = np.array(np.nan if value.dtype == np.float32 else 1, value.dtype)
        dirty[name] = value if name == "mask" else np.where(real, value, junk)
    return jax.device_put(batch.replace(**dirty))


def worked_example(told, **fields):
    """An episode of the policy-gradient example: segments are (macro-action, first step, last step, ended)."""
    ended = np.zeros((told["T"], 2), bool)
    running = np.zeros((told["T"], 2), int)
    for agent, segments in enumerate(told["segments"]):
        for macro_action, first, last, done in segments:
            running[first : last + 1, agent] = macro_action
            ended[last, agent] = done
    ends = {"terminal": told["terminal"], "truncated": not told["terminal"]}
    return make_episode(ended, told["r"], macro_action=running, **ends, **fields)


def recorded_squeeze(told, **padding):
    """An episode of the value-based recording, observations and availability padded."""
    obs = np.zeros((told["L"] + 1, 3, 2), np.float32)
    avail = np.zeros((told["L"] + 1, 3, 3), bool)
    for t in range(told["L"] + 1):
        for i in range(3):
            obs[t, i, : len(told["obs"][t][i])] = told["obs"][t][i]
            avail[t, i, : len(told["avail"][t][i])] = told["avail"][t][i]
    over = bool(told["terminate_last"])
    fields = {"macro_action": told["cur_mac"], "obs": obs, "avail": avail, "terminal": over, "truncated": not over}
    return make_episode(told["mac_done"], told["reward"], **fields, **padding)
