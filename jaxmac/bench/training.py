"""Training throughput, and where the time of an iteration goes.

`throughput` runs the program that `jaxmac.train` runs: collect, store, sample, update, members spread over the
devices. `breakdown` times its parts apart, on one device with the members of that device, so that their shares can
be compared; parts compiled apart need not add up to the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from jaxmac import envs
from jaxmac.algorithms import configure
from jaxmac.bench.breakdown import breakdown, update_memory
from jaxmac.bench.timing import timed
from jaxmac.config import settings_of
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program

# The papers' sizes on the tuned preset, and a small replay so that learning starts at once.
PAPER = {"trajectory": 25, "trajectory_unit": "rows", "max_rows": 25, "hidden_size": 64, "batch_size": 64}
# "reference": batch, network and update ratio of the programs that published the baselines' figures.
# "live": the same, but one update per 14 steps *taken* by a random policy (16 episodes of some 690 steps), as the
# reference counts, instead of per 14 nominal ones.
# "episodes": whole episodes for both, so that ToMacVF and AVF can be compared on the same batch.
EPISODES = {"batch_size": 16, "trajectory_unit": "episode", "max_rows": 0}
LIVE = {"train_freq": 32}
SIZES: dict[str, dict[str, Any]] = {
    "tuned": {},
    "paper": PAPER,
    "reference": {},
    "live": LIVE,
    "episodes": EPISODES,
}
BASELINES = ("mac-dec-q", "mac-cen-q", "mac-dec-ddrqn", "parallel-mac-dec-ddrqn", "mac-iac", "mac-cac", "mac-niacc")
BASELINES += ("mac-iaicc",)
BREAKDOWN = ("mac-dec-q", "mac-cen-q", "mac-iaicc")  # beside AVF
# The reference's training on a 2-core machine, environment steps per second of one process.
REFERENCE = {
    ("mac-dec-q", "BoxPushing-10", "reference"): 480,
    ("mac-cen-q", "BoxPushing-10", "reference"): 75,
    ("mac-iaicc", "BoxPushing-10", "reference"): 1340,
    ("mac-dec-q", "BoxPushing-10", "live"): 480,
    ("mac-cen-q", "BoxPushing-10", "live"): 75,
}
EARLY = {"learning_starts": 128, "replay_episodes": 1024}


def build(algorithm: str, env_id: str, size: str, members: int) -> Program:
    """The program of a run with `members` seeds."""
    env, preset = envs.make(env_id), "reference" if size in ("reference", "live") else "tuned"
    known = settings_of(type(configure(algorithm, preset, env, {})))
    hyper = {name: value for name, value in {**SIZES[size], **EARLY}.items() if name in known}
    return Program(algorithm, env, make_members(algorithm, env, preset, hyper, members, None), env_id=env_id)


def throughput(program: Program, algorithm: str, size: str, repeats: int) -> dict[str, Any]:
    """Steps and updates per second, summed over members, of whole iterations after learning started."""
    config, updates, members = program.config, program.algorithm.collection.updates, len(program.specs)
    compile_seconds = program.compile()
    done = program.first_learning_iteration
    program.advance(0, done, max(done, 1))
    program.evaluate(done)  # empties the tally

    def iteration() -> Any:
        nonlocal done
        program.advance(done, done + 1, 1)
        done += 1
        return program.members.tally

    timing = timed(iteration, repeats)
    tally = jax.device_get(program.members.tally)
    replays = program.algorithm.collection.replay.capacity * len(program.algorithm.streams)
    stored = replays * program.env.horizon
    steps, made = (float(x[:members].sum()) / (repeats + 1) for x in (tally.env_steps, tally.updates))
    return {
        "algorithm": algorithm,
        "env": program.env.name,
        "size": size,
        "members": members,
        "devices": 1 if program.mesh is None else program.mesh.size,
        **{name: getattr(config, name, 0) for name in ("num_envs", "batch_size", "max_rows", "hidden_size")},
        "nominal_env_steps_per_update": config.num_envs * program.env.horizon / updates,
        "live_env_steps_per_update": steps / made,
        "updates_per_iteration_and_member": made / members,
        "live_env_steps_per_second": timing.rate(steps),
        "nominal_env_steps_per_second": timing.rate(members * config.num_envs * program.env.horizon),
        "updates_per_second": timing.rate(made),
        "reference_env_steps_per_second": REFERENCE.get((algorithm, program.env.name, size)),
        "compile_seconds": compile_seconds,
        "replay_bytes_per_step": program.footprint().replay / stored,
        "update_mib": update_memory(program),
    }


def _times(rate: float, reference: float | None) -> str:
    return "" if reference is None else f" ({rate / reference:.0f} times the reference)"


def bench_training(
    env_id: str, quick: bool, say: Callable[[str], None], algorithms: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Throughput at both sizes for one and eight members, and the shares of an iteration."""
    cases = [("avf-qmix", size, members) for size in ("tuned", "paper") for members in (1, 8)]
    cases += [(name, "paper", 8) for name in ("avf-qplex", "avf-vdn")]
    cases += [(name, "episodes", 8) for name in ("avf-qmix", "tomacvf-qmix")]
    cases += [(name, "reference", members) for name in BASELINES for members in (1, 8)]
    cases += [(name, "live", 8) for name in ("mac-dec-q", "mac-cen-q")]
    if quick:
        cases = [("avf-qmix", "tuned", 2)]
    if algorithms:
        cases = [case for case in cases if case[0] in algorithms]
    rows, parts = [], []
    for algorithm, size, members in cases:
        program = build(algorithm, env_id, size, members)
        rows.append(throughput(program, algorithm, size, repeats=2 if quick else 3))
        done = rows[-1]
        say(
            f"{algorithm} {size} x {members}: {done['updates_per_second']['median']:,.0f} updates/s, "
            f"{done['live_env_steps_per_second']['median']:,.0f} live steps/s"
            f"{_times(done['live_env_steps_per_second']['median'], done['reference_env_steps_per_second'])}, "
            f"compiled in {done['compile_seconds']:.1f} s"
        )
        if members > 1 and ((algorithm == "avf-qmix" and size != "episodes") or algorithm in BREAKDOWN):
            parts.append(breakdown(program, algorithm, size, members=min(members, 4), repeats=3))
            shares = ", ".join(f"{name} {part['share']:.0%}" for name, part in parts[-1]["parts"].items())
            say(f"{algorithm} {size}, one iteration: {shares}")
    return {
        "summed_over": "members",
        "rows": rows,
        "breakdown": parts,
        "update_ratio": "nominal_env_steps_per_update = num_envs x horizon / updates per iteration and member",
        "changed_from_preset": {"all": EARLY, **SIZES},
    }
