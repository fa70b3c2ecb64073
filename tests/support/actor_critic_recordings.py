"""The recorded team of the actor-critics: its sizes, its episodes and the parameters of its critics."""

import jax
import jax.numpy as jnp
import numpy as np
from support.records import make_episode
from support.torch_params import recurrent_net, stacked

from jaxmac.algorithms import actor_critic, configure
from jaxmac.algorithms.actor_critic_config import ROLES
from jaxmac.envs.environment import Environment
from jaxmac.hyper import hyper_of


class Recorded(Environment):
    """The sizes of the recorded team; it is never stepped."""

    def __init__(self):
        names = (("a", "b", "c"), ("a", "b", "c"))
        super().__init__(obs_sizes=(2, 3), state_size=4, horizon=8, action_names=names)


def small(kind, **overrides):
    values = {"layer_size": 8, "hidden_size": 6, "critic_layer_size": 8, "critic_hidden_size": 6, "gamma": 0.9}
    values |= {"actor_learning_rate": 0.01, "critic_learning_rate": 0.02, "close_on_terminal": False}
    values |= {"critic_decode_size": 0} if overrides.get("critic") == "history" else {}
    config = configure(kind, "reference", Recorded(), values | {"num_envs": 3} | overrides)
    return actor_critic.make_networks(Recorded(), config, ROLES[kind]), hyper_of(config)


def recorded_episodes(data, garbage):
    """The recorded batch as our raw record: observations before every step, then after the last."""
    made = []
    for e in range(3):
        length = int(data["mask"][e].sum())
        obs = np.zeros((length + 1, 2, 3), np.float32)
        for i in range(2):
            size = data[f"obs{i}"].shape[-1]
            obs[:length, i, :size] = data[f"obs{i}"][e, :length]
            obs[length, i, :size] = data[f"nobs{i}"][e, length - 1]
        over = bool(data["term"][e, length - 1])
        episode = make_episode(
            data["mac_done"][e, :length],
            data["reward"][e, :length],
            macro_action=data["action"][e, :length],
            obs=obs,
            terminal=over,
            truncated=not over,
        )
        state = np.concatenate([data["state"][e, :length], data["nstate"][e, length - 1 : length]])
        made.append(padded(episode.replace(state=jax.device_put(state)), 8, garbage))
    return jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *made))


def padded(episode, horizon, garbage):
    """The episode with room for `horizon` steps, filled with `garbage`."""
    length = episode.mask.shape[0]

    def fill(x):
        room = [(0, horizon - length), *[(0, 0)] * (x.ndim - 1)]
        junk = garbage if x.dtype == jnp.float32 else 1
        return jax.device_put(np.pad(np.asarray(x), room, constant_values=np.asarray(junk, x.dtype)))

    return jax.tree.map(fill, episode).replace(mask=jnp.arange(horizon) < length)


def recorded_critics(data, prefixes, seen, kind):
    if seen == "history":
        return recurrent_net(data.__getitem__, [f"{prefix}{kind}." for prefix in prefixes], gru="gru")
    names = {"layer_0": "fc1", "layer_1": "fc2", "layer_2": "fc3", "layer_3": "fc4", "value": "fc5"}

    def layer(prefix, name):
        read = f"{prefix}{kind}.{name}"
        return {"kernel": data[f"{read}.weight"].T, "bias": data[f"{read}.bias"]}

    return {"params": stacked([{ours: layer(p, theirs) for ours, theirs in names.items()} for p in prefixes])}
