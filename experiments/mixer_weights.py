"""Why single seeds never learned Box Pushing without a floor: the mixer's weights in the states that a team visits.

    python -m experiments.mixer_weights

Trains AVF-QPLEX with `weight_floor=0` and with preset `tuned` on two tuning seeds, one of which fails without the
floor, and lists the joint rows at the beginning of a greedy episode of each: what is chosen, how much each agent's
utility weighs in the joint value (dQ_tot/dQ_i), the joint value and its target.
Results: experiments/results/mixer_weights/summary.md.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmac
from experiments.common import RESULTS, arguments, completed
from jaxmac.algorithms import avf
from jaxmac.algorithms.factorised import joint_value, mixer_inputs
from jaxmac.record.replay import Sample
from jaxmac.record.rollout import rollout

ALGORITHM, ENVIRONMENT, EPISODES = "avf-qplex", "BoxPushing-10", 5000
ROWS = 6  # listed of each episode


def main() -> None:
    """Train, play, write the table."""
    given = arguments(__doc__, (1000, 1006))
    episodes = given.episodes or EPISODES
    lines = [
        f"# The mixer's weights, {ALGORITHM} on {ENVIRONMENT}",
        "",
        "Command: `python -m experiments.mixer_weights`",
        "",
        f"The first joint rows of a greedy episode after {episodes:,} episodes of training: the observations and "
        "macro-actions of both agents, the weight of each utility in the joint value, this value and its target "
        "(both discounted and in units of ten points of return).",
        "",
    ]
    for label, settings in (("weight_floor=0", {"weight_floor": 0.0}), ("tuned", {})):
        result = jaxmac.train(
            ALGORITHM,
            ENVIRONMENT,
            seeds=given.seeds,
            episodes=episodes,
            out=f"runs/experiments/mixer_weights/{label}",
            overwrite=True,
            **settings,
        )
        completed(result)
        for member, seed in enumerate(given.seeds):
            lines += [f"## {label}, seed {seed}: return {result.metrics['eval_return'][-1][member]:.1f}", ""]
            lines += [*listed(rows_of_an_episode(result, member)), ""]
    folder = RESULTS / "mixer_weights"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.md").write_text("\n".join(lines))


def rows_of_an_episode(result: jaxmac.Result, member: int) -> dict[str, np.ndarray]:
    """What the table lists of the rows of one greedy episode, `[rows, ...]`."""
    learned, config = result.learned(member), result.specs[member].config
    networks = avf.make_networks(result.env, config, ALGORITHM.removeprefix("avf-"))
    params, hyper = learned.learner.params, learned.hyper
    episode = rollout(result.env, result.policy(member), jax.random.key(0), jnp.zeros(1))
    sample = Sample(episode, jnp.zeros(1, jnp.int32), jnp.ones(1), jnp.zeros(1, jnp.int32))
    rows = avf.rows_of(config, sample, hyper, jax.random.key(0))
    online = avf.utilities_of(networks, params, rows)
    now = jax.tree.map(lambda x: x[:-1], online)
    state = avf.mixer_states(networks, params, rows)[0]
    inputs = mixer_inputs(networks, now, rows.macro_action, rows.avail, rows.start, rows.macro_action, state)

    def value_of(q_all: jax.Array) -> Any:
        return joint_value(networks, params, hyper, inputs._replace(q_all=q_all))

    chosen = jnp.take_along_axis(
        jax.grad(lambda q: jnp.sum(value_of(q)))(inputs.q_all), rows.macro_action[..., None], -1
    )
    found = {
        "observations": rows.obs[:-1],
        "macro-actions": rows.macro_action,
        "weights": chosen[..., 0],
        "joint value": value_of(inputs.q_all),
        "target": avf.td_target(networks, learned.learner, online, rows, hyper),
    }
    real = np.asarray(rows.mask[:, 0])
    return {name: np.asarray(x)[:, 0][real] for name, x in found.items()}


def listed(rows: dict[str, np.ndarray]) -> list[str]:
    """The first rows as a table."""
    lines = [f"| row | {' | '.join(rows)} |", "|" + "---|" * (1 + len(rows))]
    for row in range(min(ROWS, len(rows["target"]))):
        observations = "; ".join("".join(str(int(x)) for x in agent) for agent in rows["observations"][row])
        actions = ", ".join(map(str, rows["macro-actions"][row]))
        weights = ", ".join(f"{weight:.2f}" for weight in rows["weights"][row])
        values = f"{rows['joint value'][row]:.2f} | {rows['target'][row]:.2f}"
        lines.append(f"| {row} | {observations} | {actions} | {weights} | {values} |")
    return lines


if __name__ == "__main__":
    main()
