"""QMIX on MPE's simple spread against JaxMARL's own `qmix_rnn`, at its sizes: CPU seconds of both, in turn.

    git clone https://github.com/FLAIROx/JaxMARL JAXMARL
    python -m benchmarks.against_jaxmarl JAXMARL

Both play 8 episodes and then make one update from 32 stored ones, with 64 units and three agents, 800 times. The
first updates come once 32 times 8 episodes are stored: in ours before the timed runs, in theirs in each of them, as
its program starts anew, so that some 769 updates of theirs are compared with 800 of ours. Neither is evaluated, and
compiling is not counted. The mixers of both see the state once: as all agents decide at every step, the joint
macro-state, which `tuned` has, would be the same state once per agent, and `macro_state="real"` is that state. Ours
has one layer more behind the recurrent one. Each program has a process of its own, which waits while the other one
works, and one core, as waiting threads of XLA's pool would count as CPU time. Needs
`pip install 'jaxmac[adapters]'` and wandb, which JaxMARL's program imports. Writes
benchmarks/results/against_jaxmarl.{json,md}.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.paired import READY, asked
from jaxmac.bench.machine import machine
from jaxmac.cli.scripts import ScriptParser
from jaxmac.runs.directory import versions

OUT = Path(__file__).parent / "results" / "against_jaxmarl.json"
TURNS, AT_ONCE, BEFORE = 800, 8, 32  # collections of so many episodes, and those before the first update
GOAL = 2.5
OURS = {"hidden_size": 64, "hidden_layers": 1, "share_parameters": True, "hypernet_embed": 128, "mixing_embed": 32}
OURS |= {"num_envs": AT_ONCE, "batch_size": 32, "train_freq": 200, "learning_starts": BEFORE * AT_ONCE}
OURS |= {"replay_episodes": 5000, "td_lambda": 0.0, "layer_norm": False, "gamma": 0.9, "target_episodes": 1600}
OURS |= {"macro_state": "real"}
MEMORIES = ("gru", "mingru")
THEIRS = {"NUM_ENVS": AT_ONCE, "NUM_STEPS": 26, "BUFFER_SIZE": 5000, "BUFFER_BATCH_SIZE": 32, "HIDDEN_SIZE": 64}
THEIRS |= {"MIXER_EMBEDDING_DIM": 32, "MIXER_HYPERNET_HIDDEN_DIM": 128, "MIXER_INIT_SCALE": 0.001, "NUM_EPOCHS": 1}
THEIRS |= {"EPS_START": 1.0, "EPS_FINISH": 0.05, "EPS_DECAY": 0.1, "MAX_GRAD_NORM": 25, "TAU": 1.0, "LR": 0.005}
THEIRS |= {"TARGET_UPDATE_INTERVAL": 200, "LEARNING_STARTS": 0, "LR_LINEAR_DECAY": True, "GAMMA": 0.9}
THEIRS |= {
    "TOTAL_TIMESTEPS": TURNS * AT_ONCE * 26,
    "TEST_DURING_TRAINING": False,
    "TEST_NUM_ENVS": 8,
    "WANDB_MODE": "disabled",
}
THEIRS |= {"ENV_NAME": "MPE_simple_spread_v3", "ENV_KWARGS": {}}


def main(words: Sequence[str] | None = None) -> int:
    """Measure both programs in turn and write report and table; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("jaxmarl", type=Path, help="a checkout of JaxMARL")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of each (default: %(default)s)")
    parser.add_argument("--probe", choices=("theirs", *MEMORIES), help="be one of the two processes")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file to write (default: %(default)s)")
    given = parser.parse_args(words)
    if not program_of(given.jaxmarl).is_file():
        print(f"{program_of(given.jaxmarl)} is missing: give a checkout of JaxMARL", file=sys.stderr)
        return 2
    if given.probe:
        if hasattr(os, "sched_setaffinity"):  # Linux
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        answer(theirs(given.jaxmarl) if given.probe == "theirs" else ours(given.probe))
        return 0
    if given.pairs < 1:
        parser.error(f"--pairs is {given.pairs}, but must be at least 1")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "-C", given.jaxmarl, "rev-parse", "HEAD"], capture_output=True, text=True)
    report: dict[str, Any] = {"machine": machine(), **versions(), "jaxmarl": commit.stdout.strip(), "goal": GOAL}
    report["seconds"] = {memory: seconds(given.jaxmarl, memory, given.pairs) for memory in MEMORIES}
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(table(report), encoding="utf-8")
    print(table(report))
    return 0


def seconds(jaxmarl: Path, memory: str, pairs: int) -> list[tuple[float, float]]:
    """CPU seconds of 800 turns of theirs and ours, pair by pair."""

    def process(which: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks.against_jaxmarl", str(jaxmarl.resolve()), "--probe", which]

    here = Path(__file__).parents[1]
    with asked(process("theirs"), here) as their, asked(process(memory), here) as our:
        return [(their(), our()) for _ in range(pairs)]


def answer(run: Callable[[], Any]) -> None:
    """Compile and say so; then run once for each line that is read and print the CPU seconds."""
    run()
    print(READY, flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        run()
        print(time.process_time() - began, flush=True)


def ours(memory: str) -> Callable[[], Any]:
    """A run of ours, compiled when it is called for the first time."""
    import jax

    from experiments.options_on_mpe import environment
    from jaxmac.runs.members import make_members
    from jaxmac.training.program import Program

    env = environment()
    program = Program("avf-qmix", env, make_members("avf-qmix", env, "tuned", OURS | {"memory": memory}, 1, None))
    program.compile()
    done = 0

    def run() -> None:
        nonlocal done
        program.advance(done, done + TURNS, TURNS)
        done += TURNS
        jax.block_until_ready(program.members)

    return run


def theirs(jaxmarl: Path) -> Callable[[], Any]:
    """A run of `qmix_rnn`, compiled when it is called for the first time."""
    import jax

    stubs = {name: ModuleType(name) for name in ("hydra", "omegaconf")}  # its command line alone needs them
    stubs["hydra"].main = lambda **_: lambda function: function  # type: ignore[attr-defined]
    stubs["omegaconf"].OmegaConf = None  # type: ignore[attr-defined]
    sys.modules.update({name: stub for name, stub in stubs.items() if importlib.util.find_spec(name) is None})
    spec = importlib.util.spec_from_file_location("qmix_rnn", program_of(jaxmarl))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    env, _ = module.env_from_config(dict(THEIRS))
    train = jax.jit(module.make_train(dict(THEIRS), env))
    return lambda: jax.block_until_ready(train(jax.random.PRNGKey(0)))


def program_of(jaxmarl: Path) -> Path:
    """Their program in a checkout."""
    return jaxmarl / "baselines" / "QLearning" / "qmix_rnn.py"


def table(report: dict[str, Any]) -> str:
    """The report as a page."""
    lines = [
        "# Against JaxMARL's QMIX",
        "",
        "Command: `python -m benchmarks.against_jaxmarl JAXMARL`. CPU seconds of 800 updates and 6,400 episodes of "
        "25 steps of MPE's simple spread on one core, without compiling and evaluating; medians, and the median of "
        f"the ratios, taken pair by pair, with their range; the goal was {report['goal']:g}. JaxMARL at commit "
        f"{report['jaxmarl'][:9]}. Machine: {report['machine']['cpu']}, {report['machine']['cores']} cores.",
        "",
        "| our recurrent layer | theirs | ours | theirs / ours |",
        "|---|---|---|---|",
    ]
    for memory, pairs in report["seconds"].items():
        their, our = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratios = sorted(their / our for their, our in pairs)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        lines.append(f"| {memory} | {their:.1f} | {our:.1f} | {spread} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
