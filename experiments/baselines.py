"""Capture Target without learning: the share of captures when always moving to the target, and at random.

    python -m experiments.baselines

Prints the table of docs/environments/capture_target.md: share of captures, and the return discounted with 0.9.
"""

import jax
import jax.numpy as jnp

import jaxmac
from jaxmac.envs import Environment
from jaxmac.record.episode import discounted_return
from jaxmac.record.rollout import rollout

EPISODES, GAMMA = 20_000, 0.9
COMPARED = 2048  # episodes behind the level of random play that curves are compared with


def returns(env: str | Environment, policy: str, episodes: int = EPISODES) -> tuple[float, float]:
    """Mean return without learning, undiscounted and discounted; `policy` is "scripted" or "random"."""
    env = jaxmac.make(env) if isinstance(env, str) else env
    made = jaxmac.random_policy() if policy == "random" else jaxmac.scripted_policy(env)

    def play(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        played = rollout(env, made, key, jnp.zeros(episodes))
        return played.undiscounted_return.mean(), discounted_return(played, GAMMA).mean()

    undiscounted, discounted = jax.jit(play)(jax.random.key(0))
    return float(undiscounted), float(discounted)


def anchors(env: Environment) -> dict[str, float]:
    """Returns to compare with: random play, and scripted play where no optimum is proven (undiscounted)."""
    levels = {"random play": returns(env, "random", COMPARED)[0]}
    if env.optimal_return is None:
        episodes = EPISODES if env.best_known_return is None else COMPARED
        levels["scripted play"] = returns(env, "scripted", episodes)[0]
    return levels


def main() -> None:
    """Print the table."""
    print("| agents | always move to target | random macro-actions | random primitive actions |")
    print("|---|---|---|---|")
    for agents in (2, 3, 5, 10):
        env_id = f"CaptureTarget-{agents}"
        cases = (env_id, "scripted"), (env_id, "random"), (f"{env_id}-primitive", "random")
        cells = ("{:.3f} ({:.2f})".format(*returns(*case)) for case in cases)
        print(f"| {agents} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
