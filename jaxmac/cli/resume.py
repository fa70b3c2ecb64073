"""`jaxmac resume`: continue a run that was stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmac.cli.devices import DeviceArguments, join_processes
from jaxmac.cli.parsing import parse
from jaxmac.cli.train import report_result
from jaxmac.processes.joining import use_cpu_devices


@dataclasses.dataclass(frozen=True)
class ResumeArguments(DeviceArguments):
    """Continue a run from a checkpoint, bit for bit as if it had never stopped."""

    run: Annotated[Path, tyro.conf.Positional]
    episodes: int | None = None
    """train up to this number of episodes instead (a finished run continues, too)"""
    iteration: Annotated[int | None, tyro.conf.arg(name="from")] = None
    """iteration of the checkpoint to continue from (default: the last one)"""


def command_resume(arguments: Sequence[str]) -> int:
    """Continue a run, print its final returns and return the exit status."""
    from jaxmac.training.resume import resume

    given = parse("resume", ResumeArguments, arguments)
    use_cpu_devices(given.devices)
    join_processes(given)
    result = resume(given.run, episodes=given.episodes, iteration=given.iteration)
    report_result(result, given.run)
    return 0 if result.status == "finished" else 130
