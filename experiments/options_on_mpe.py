"""Hand-written options on JaxMARL's MPE: three agents spread over three landmarks, with and without macro-actions.

    python -m experiments.options_on_mpe --devices 1

Both learn with AVF-QMIX and SETTINGS from the same number of environment steps; without options this is QMIX. The
settings were tuned with options only, on version 0.1.0: seven were tried on this task and two on a smaller one
(seeds 1000 and 1001), and `COMMITTED` was added meanwhile. So compare the options with play without learning; how
good QMIX can become on one-step actions is in `experiments.mpe_spread`.
Results: experiments/results/options_on_mpe. Needs `pip install 'jaxmac[adapters]'`.
"""

import jax.numpy as jnp

from experiments.baselines import returns
from experiments.common import Job, arguments, run
from jaxmac.envs import Environment, Option, View, WithOptions
from jaxmac.envs.adapters import from_jaxmarl

STILL, LEFT, RIGHT, DOWN, UP = range(5)
COMMITTED = 8  # the least number of steps for which an agent stays with a landmark
# Every step is rewarded and no event is rare, so training uses recent episodes, no tournament and no episodes that
# are random throughout. All rows of an episode, 25 at most, are learned from.
SETTINGS = {
    **{"gamma": 0.9, "learning_rate": 2e-3, "batch_size": 64, "train_freq": 50, "max_rows": 0},
    **{"replay_episodes": 512, "sampling": "uniform", "learning_starts": 64},
    **{"explore_fraction": 0.0, "epsilon_episodes": 500.0, "epsilon_end": 0.05},
}


def go_to(k: int) -> Option:
    """Steer to landmark `k` until it is reached, and stay there for a while.

    An agent observes its velocity, its position and the relative positions of the landmarks. Without a push it
    moves on by 0.4 times its velocity, and one push moves it 0.2 further.
    """

    def offset(view: View):
        return view.obs[4 + 2 * k : 6 + 2 * k]

    def policy(view: View):
        x, y = offset(view) - 0.4 * view.obs[:2]
        sideways = jnp.where(x > 0, RIGHT, LEFT)
        upright = jnp.where(y > 0, UP, DOWN)
        far = jnp.maximum(abs(x), abs(y)) > 0.1
        return jnp.where(far, jnp.where(abs(x) > abs(y), sideways, upright), STILL)

    def terminates(view: View):
        return (jnp.linalg.norm(offset(view)) < 0.15) & (view.elapsed >= COMMITTED)

    return Option(f"to landmark {k}", policy, terminates)


class Spread(WithOptions):
    """MPE's simple spread with going to a landmark as macro-action."""

    def __init__(self, env: Environment):
        super().__init__(env, [go_to(k) for k in range(3)], name="simple_spread with options")

    def script(self):
        """Each agent goes to a landmark of its own, whether near or not."""
        return (0,), (1,), (2,)


def environment() -> Environment:
    """`MPE_simple_spread_v3` with the mean of the agents' rewards as team reward."""
    import jaxmarl

    names = ("still", "left", "right", "down", "up")
    return from_jaxmarl(jaxmarl.make("MPE_simple_spread_v3"), action_names=names, name="simple_spread")


def main() -> None:
    """Train with and without options."""
    given = arguments(__doc__, range(200, 204))
    given.running = ["--devices", "1"]
    env = environment()
    spread = Spread(env)
    anchors = {
        "random actions": returns(env, "random", 2048)[0],
        "random options": returns(spread, "random", 2048)[0],
        "each its own landmark": returns(spread, "scripted", 2048)[0],
    }
    jobs = [
        Job("options", "avf-qmix", spread, 3_000, settings=SETTINGS),
        Job("one-step actions", "avf-qmix", env, 3_000, settings=SETTINGS),
    ]
    title = "MPE simple_spread, AVF-QMIX, settings chosen on the options"
    run("options_on_mpe", title, jobs, given, anchors["random options"], anchors)


if __name__ == "__main__":
    main()
