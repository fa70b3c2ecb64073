"""Environment steps and gradient updates per second of the program that `jaxmac.train` runs.

Members are spread over the devices as in training, and rates are summed over members.
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
from jaxmac.errors import first_line
from jaxmac.runs.members import make_members
from jaxmac.training.program import Program

# "paper": the sizes of the AVF paper on the tuned preset.
PAPER = {"trajectory": 25, "trajectory_unit": "rows", "max_rows": 25, "hidden_size": 64, "batch_size": 64}
# "reference": batch, network and update ratio of the baselines' published programs.
# "live": the same, but one update per 14 steps that a random policy *takes* (some 690 in 16 episodes), which is how
# those programs count, instead of one update per 14 nominal steps (episodes x horizon).
# "episodes": batches of whole episodes, so that ToMacVF and AVF can be compared on the same batch.
EPISODES = {"batch_size": 16, "trajectory_unit": "episode", "max_rows": 0}
LIVE = {"train_freq": 32}
SIZES: dict[str, dict[str, Any]] = {
    "tuned": {},
    "paper": PAPER,
    "reference": {},
    "live": LIVE,
    "episodes": EPISODES,
}
BASELINES = (
    *("mac-dec-q", "mac-cen-q", "mac-dec-ddrqn", "parallel-mac-dec-ddrqn"),
    *("mac-iac", "mac-cac", "mac-niacc", "mac-iaicc"),
)
BREAKDOWN = ("mac-dec-q", "mac-cen-q", "mac-iaicc")  # these and AVF get a breakdown of their iteration
# Environment steps per second of the baselines' published programs, in one process on a machine with 2 cores.
REFERENCE = {
    ("mac-dec-q", "BoxPushing-10", "reference"): 480,
    ("mac-cen-q", "BoxPushing-10", "reference"): 75,
    ("mac-iaicc", "BoxPushing-10", "reference"): 1340,
    ("mac-dec-q", "BoxPushing-10", "live"): 480,
    ("mac-cen-q", "BoxPushing-10", "live"): 75,
}
EARLY = {"learning_starts": 128, "replay_episodes": 1024}  # a small replay, so that learning starts at once


def build(algorithm: str, env_id: str, size: str, members: int) -> Program:
    """The program of a run with `members` seeds at one of SIZES."""
    env, preset = envs.make(env_id), "reference" if size in ("reference", "live") else "tuned"
    known = settings_of(type(configure(algorithm, preset, env, {})))
    hyper = {name: value for name, value in {**SIZES[size], **EARLY}.items() if name in known}
    return Program(algorithm, env, make_members(algorithm, env, preset, hyper, members, None), env_id=env_id)


def throughput(program: Program, algorithm: str, size: str, repeats: int) -> dict[str, Any]:
    """Measure steps and updates per second, summed over members, in whole iterations after learning has started."""
    config, updates, members = program.config, program.algorithm.collection.updates, len(program.specs)
    compile_seconds = program.compile()
    done = program.first_learning_iteration
    program.advance(0, done, max(done, 1))
    program.evaluate(done)  # resets the tally

    def iteration() -> Any:
        nonlocal done
        program.advance(done, done + 1, 1)
        done += 1
        return program.members.tally

    timing = timed(iteration, repeats)
    tally = jax.device_get(program.members.tally)
    replays = program.algorithm.collection.replay.capacity * len(program.algorithm.streams)
    stored = replays * program.env.horizon
    steps, performed = (float(x[:members].sum()) / (repeats + 1) for x in (tally.env_steps, tally.updates))
    return {
        "algorithm": algorithm,
        "env": program.env.name,
        "size": size,
        "members": members,
        "devices": 1 if program.mesh is None else program.mesh.size,
        **{name: getattr(config, name, 0) for name in ("num_envs", "batch_size", "max_rows", "hidden_size")},
        "nominal_env_steps_per_update": config.num_envs * program.env.horizon / updates,
        "live_env_steps_per_update": steps / performed,
        "updates_per_iteration_and_member": performed / members,
        "live_env_steps_per_second": timing.rate(steps),
        "nominal_env_steps_per_second": timing.rate(members * config.num_envs * program.env.horizon),
        "updates_per_second": timing.rate(performed),
        "reference_env_steps_per_second": REFERENCE.get((algorithm, program.env.name, size)),
        "compile_seconds": compile_seconds,
        "replay_bytes_per_step": program.footprint().replay / stored,
        "update_mib": update_memory(program),
    }


def bench_training(
    env_id: str,
    quick: bool,
    log: Callable[[str], None],
    algorithms: tuple[str, ...] = (),
    section: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure training in one environment, and the parts of an iteration of some algorithms.

    Args:
        env_id: the environment.
        quick: measure one small case only.
        log: called with a line for each measurement.
        algorithms: measure these only.
        section: a part of a report, which is filled as measurements come, and returned; None is a new one.
    """
    section, rows, parts = {} if section is None else section, list[dict[str, Any]](), list[dict[str, Any]]()
    section |= {
        "summed_over": "members",
        "rows": rows,
        "breakdown": parts,
        "update_ratio": "nominal_env_steps_per_update = num_envs x horizon / updates per iteration and member",
        "changed_from_preset": {"all": EARLY, **SIZES},
    }
    for algorithm, size, members in _cases(quick, algorithms):
        try:
            program = build(algorithm, env_id, size, members)
        except (ValueError, MemoryError) as error:  # joint macro-actions too many, say; the others are measured
            log(f"{algorithm} {size}, {members} members: left out: {first_line(error)}")
            continue
        rows.append(throughput(program, algorithm, size, repeats=2 if quick else 3))
        log(_row_line(rows[-1]))
        if members > 1 and ((algorithm == "avf-qmix" and size != "episodes") or algorithm in BREAKDOWN):
            parts.append(breakdown(program, algorithm, size, members=min(members, 4), repeats=3))
            shares = ", ".join(f"{name} {part['share']:.0%}" for name, part in parts[-1]["parts"].items())
            log(f"{algorithm} {size}, one iteration: {shares}")
    return section


def measured_algorithms(quick: bool) -> list[str]:
    """The algorithms that `bench_training` has cases for."""
    return sorted({name for name, _, _ in _cases(quick, ())})


def _cases(quick: bool, algorithms: tuple[str, ...]) -> list[tuple[str, str, int]]:
    """What is measured: algorithm, size and number of members."""
    cases = [("avf-qmix", size, members) for size in ("tuned", "paper") for members in (1, 8)]
    cases += [(name, "paper", 8) for name in ("avf-qplex", "avf-vdn")]
    cases += [(name, "episodes", 8) for name in ("avf-qmix", "tomacvf-qmix")]
    cases += [(name, "tuned", 8) for name in ("mac-ippo", "mac-mappo", "mac-iaicc")]
    cases += [(name, "reference", members) for name in BASELINES for members in (1, 8)]
    cases += [(name, "live", 8) for name in ("mac-dec-q", "mac-cen-q")]
    if quick:
        cases = [("avf-qmix", "tuned", 2)]
    return [case for case in cases if not algorithms or case[0] in algorithms]


def _row_line(row: dict[str, Any]) -> str:
    """A row of the report as one line of text."""
    updates, steps = (row[name]["median"] for name in ("updates_per_second", "live_env_steps_per_second"))
    reference = row["reference_env_steps_per_second"]
    compared = "" if reference is None else f" ({steps / reference:.0f} times the reference)"
    return (
        f"{row['algorithm']} {row['size']} x {row['members']}: {updates:,.0f} updates/s, "
        f"{steps:,.0f} live steps/s{compared}, compiled in {row['compile_seconds']:.1f} s"
    )
