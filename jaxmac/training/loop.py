"""`jaxmac.train`: it prepares a run, claims its directory and runs a session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jaxmac.arguments import check_switch
from jaxmac.envs.environment import Environment
from jaxmac.processes.collective import is_main_process, raise_on_all
from jaxmac.runs.directory import RunDirectory
from jaxmac.runs.result import Result
from jaxmac.training.interruption import Interruption
from jaxmac.training.preparation import Request, prepare
from jaxmac.training.progress import progress_console
from jaxmac.training.session import Session, StopWhen


def train(
    algorithm: str,
    env: str | Environment = "BoxPushing-10",
    *,
    preset: str = "tuned",
    seeds: int | Sequence[int] = 8,
    episodes: int = 5_000,
    env_options: dict[str, Any] | None = None,
    sweep: dict[str, Sequence[Any]] | None = None,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    chunk: int | None = None,
    checkpoint_every: int = 10,
    checkpoint_replay: bool = True,
    log: str | Sequence[str] = (),
    progress: bool = True,
    check_environment: bool = True,
    compilation_cache: bool = True,
    stop_when: StopWhen | None = None,
    **hyperparameters: Any,
) -> Result:
    """Train an algorithm for several seeds and swept values together and return a Result.

    Args:
        algorithm: an id of `jaxmac.list_algorithms()`.
        env: an environment id, or an Environment instance (which `jaxmac.load` then needs as an argument).
        preset: name of a preset of the algorithm, such as "tuned" or "paper".
        seeds: a number n (for the seeds 0 to n - 1) or a list of seeds.
        episodes: training episodes per member, including the random ones at the start.
        env_options: constructor options of the environment.
        sweep: hyperparameter -> values, which take the place of one among `hyperparameters`. Every combination of
            values runs with every seed; all values of traced hyperparameters share one compiled program.
        out: run directory; None writes nothing.
        overwrite: replace a run that is in `out` already.
        chunk: iterations per compiled call (None: about 64 updates). It does not change the results.
        checkpoint_every: evaluations between checkpoints; another one is written at the end and at Ctrl-C.
        checkpoint_replay: store the replay in checkpoints; without it a run can be evaluated but not resumed.
        log: registered sinks that get the metrics besides metrics.csv, such as "tensorboard" or "wandb": a sequence
            of names, or a text with commas. They need `out`.
        progress: show progress on stderr.
        check_environment: whether an environment from outside the library must keep the contract that
            `jaxmac.check_environment` tests, and a mixer what `jaxmac.check_mixer` does. The checks take seconds,
            once in a process.
        compilation_cache: keep compiled programs in the user's cache directory, so that another process need not
            compile them. It holds for the whole process; JAX's own options, where they are set, take precedence.
        stop_when: called after each evaluation with its rows, a dict for each member that trains now, with the
            columns of metrics.csv; with several processes in the first one. The run ends as with Ctrl-C once it
            returns True. What it raises is passed on, an OSError as a TrainingError.
        **hyperparameters: settings of the algorithm and its parts, which replace those of the preset.

    Returns:
        The result. Ctrl-C, SIGTERM and `stop_when` end the run after the current chunk and give what there is, with
        the status "interrupted": check it in a loop over runs.

    Raises:
        ValueError: something is unknown or out of range, or the environment breaks its contract; raised in one line
            before the run compiles.
        MemoryError: the run does not fit into memory; the message says which settings would.
        OSError: the run directory cannot be used.
        NonFiniteLossError: a loss is not finite; files written so far are kept.
        TrainingError: a file could not be written while training, for example because the disk is full.
    """
    check_switch("progress", progress)
    console = progress_console(progress)
    with Interruption(console.print) as stop:
        with stop.at_once():
            request = Request(
                algorithm=algorithm,
                env=env,
                preset=preset,
                seeds=seeds,
                episodes=episodes,
                env_options=env_options,
                sweep=sweep,
                out=out,
                overwrite=overwrite,
                chunk=chunk,
                checkpoint_every=checkpoint_every,
                checkpoint_replay=checkpoint_replay,
                log=log,
                check_environment=check_environment,
                compilation_cache=compilation_cache,
                stop_when=stop_when,
                hyperparameters=hyperparameters,
            )
            prepared = prepare(request, console)
        members = [{"seed": spec.seed, **spec.swept} for spec in prepared.specs]
        with RunDirectory(out, is_main_process()) as directory:
            with raise_on_all():
                directory.claim(overwrite, prepared.on_disk)
            result = Result(
                {}, members, prepared.config, prepared.env, directory.path, "running", prepared.specs, {}
            )
            Session(result, directory, console, stop, chunk, stop_when=stop_when).run(prepared.programs)
    return result
