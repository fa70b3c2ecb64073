"""`jaxmac export`: write a learned policy as folders that run without jaxmac."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmac.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class ExportArguments:
    """Write the policy of a member as folders with weights, StableHLO, a description and a NumPy-only runner.

    The runner implements the memories gru and mingru; with others there is none.
    """

    run: Annotated[Path | None, tyro.conf.Positional] = None
    member: int = 0
    """index of the member"""
    out: Path = Path("policy")
    """folder to write; it gets agent_0, agent_1, ... or, for an algorithm that decides centrally, team"""
    best: bool = False
    """the learner of the member's best evaluation instead of the last one"""
    overwrite: bool = False
    """replace an exported policy that is already there"""


def command_export(arguments: Sequence[str]) -> int:
    """Write the folders and print their paths."""
    from jaxmac.export.folder import export_policy

    given = parse("export", ExportArguments, arguments)
    if given.run is None:
        raise ValueError("give a run directory")
    out = export_policy(given.run, given.member, given.out, given.best, given.overwrite)
    for folder in sorted(out.iterdir(), key=lambda x: (len(x.name), x.name)):
        print(folder)
    return 0
