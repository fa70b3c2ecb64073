"""Presets `tuned` of jaxmac 0.1.0, with which its curves were recorded."""

from functools import partial

from jaxmac.algorithms import ALGORITHMS, actor_critic_config, presets
from jaxmac.algorithms.mac_q_config import CONFIGS
from jaxmac.algorithms.presets.tomacvf import MIXER

OF_BASELINES = (
    *("gamma", "learning_starts", "replay_episodes", "replay_tournament", "reward_scale", "explore_fraction"),
    *("epsilon_start", "epsilon_end", "epsilon_episodes", "train_freq", "batch_size", "max_rows"),
    *("learning_rate", "learning_rate_decay", "learning_rate_episodes", "polyak", "hidden_size"),
)


def install(monkeypatch):
    """Today's presets `tuned` are those of 0.1.0 until the test is over."""
    monkeypatch.setattr(presets.avf, "tuned", avf)
    monkeypatch.setattr(presets.tomacvf, "tuned", tomacvf)
    for kind in CONFIGS:  # baselines are registered once, with the preset that was there
        spec = ALGORITHMS[kind]
        tuned = {"tuned": partial(mac_q, kind=kind)}
        monkeypatch.setitem(ALGORITHMS._parts, kind, spec._replace(presets={**spec.presets, **tuned}))
    for kind in actor_critic_config.CONFIGS:
        spec = ALGORITHMS[kind]
        tuned = {"tuned": partial(actor_critic, kind=kind)}
        monkeypatch.setitem(ALGORITHMS._parts, kind, spec._replace(presets={**spec.presets, **tuned}))


def avf(env, mixer_name):
    family = env.name.partition("-")[0]
    large = family == "BoxPushing" and env.size >= 20
    values = {
        "learning_rate": 1e-3,
        "learning_rate_decay": 0.1,
        "learning_rate_episodes": 3000.0 if large else 2500.0,
        "gamma": 0.98,
        "polyak": 0.99,
        "epsilon_episodes": 1500.0,
        "explore_fraction": 0.5,
        "sampling": "tournament",
        "replay_tournament": 128 if large else 64,
        "reward_scale": 0.1,
        "learning_starts": 4096 if large else 2048 if family == "BoxPushing" else 512,
        "replay_episodes": 5000 if large else 2500,
        "train_freq": max(100, env.horizon),
        "batch_size": 32,
        "max_rows": 12,
        "hidden_size": 32,
    }
    alike = {"share_parameters": True, "explore_fraction": 0.0, "reward_scale": 1.0}
    alike |= {"epsilon_start": 0.2, "epsilon_end": 0.05, "epsilon_episodes": 400.0}
    return values | alike if family == "CaptureTarget" else values


def tomacvf(env, mixer_name):
    values = {name: value for name, value in avf(env, mixer_name).items() if name != "max_rows"}
    return values | MIXER | {"n_step": min(5, env.horizon), "learning_rate": 5e-4, "batch_size": 16}


def mac_q(env, kind):
    values = {name: value for name, value in avf(env, "vdn").items() if name in OF_BASELINES}
    values |= {"target_steps": 0, "sampling": "tournament", "trajectory": 25, "trajectory_unit": "steps"}
    values |= {"grad_clip": 10.0, "close_on_terminal": True, "recurrent_exploration": True}
    return values | ({"hidden_size": 64} if kind == "mac-cen-q" else {})


def actor_critic(env, kind):
    values = presets.actor_critic.reference(env, kind)
    return values | {"num_envs": 32, "target_episodes": 64, "epsilon_episodes": 2000.0, "close_on_terminal": True}
