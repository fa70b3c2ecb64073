"""The synchronous yardstick: AVF-QMIX with preset `tuned` on JaxMARL's MPE simple spread, one-step actions.

    python -m experiments.mpe_spread

On one-step actions AVF-QMIX is QMIX. The return is the mean over the three agents of an episode of 25 steps; 8,000
episodes are 200,000 environment steps. "as it comes" gives the mixer the state without normalising it. "JaxMARL's"
are the hyperparameters of its QMIX on MPE (docs/specifications/mixers.md, section 2, and its own configuration),
with one-step targets, a GRU and no layer normalisation. The normalised state, Adam instead of RAdam, hypernetworks
of width 32 and the initial weights are ours.
Results: experiments/results/mpe_spread. Needs `pip install 'jaxmac[adapters]'`.
"""

from experiments.baselines import returns
from experiments.common import Job, arguments, run
from experiments.options_on_mpe import environment

EPISODES = 16_000
JAXMARL = {  # its rate falls to nothing over the run, its epsilon over a tenth of it
    **{"td_lambda": 0.0, "layer_norm": False, "memory": "gru", "hidden_size": 64, "share_parameters": True},
    **{"num_envs": 8, "batch_size": 32, "train_freq": 200, "replay_episodes": 5000, "learning_starts": 400},
    **{"learning_rate": 5e-3, "learning_rate_decay": 1e-6, "learning_rate_episodes": EPISODES - 400.0},
    **{"gamma": 0.9, "grad_clip": 25.0, "reward_scale": 1.0},
    **{"epsilon_episodes": EPISODES / 10, "target_episodes": 1600},
}
CHANGES = {
    "tuned": {},
    "VDN": {},
    "state as it comes": {"normalise_state": False},
    "JaxMARL's": JAXMARL,
}


def main() -> None:
    """Train tuned AVF-QMIX, AVF-VDN, and AVF-QMIX whose mixer gets the state as it comes."""
    given = arguments(__doc__, range(200, 208))
    env = environment()
    jobs = [
        Job(label, "avf-vdn" if label == "VDN" else "avf-qmix", env, EPISODES, settings=values)
        for label, values in CHANGES.items()
    ]
    anchors = {"random play": returns(env, "random", 2048)[0]}
    run("mpe_spread", "MPE simple_spread, one-step actions, AVF-QMIX tuned", jobs, given, -22.0, anchors)


if __name__ == "__main__":
    main()
