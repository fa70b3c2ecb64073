"""`jaxmac export`: a trained policy as folders that run without jaxmac."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxmac.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class ExportArguments:
    """What a member has learned as standalone folders: weights, StableHLO, description, a NumPy-only runner."""

    run: Annotated[Path, tyro.conf.Positional]
    member: int = 0
    """member of the run"""
    out: Path = Path("policy")
    """the folder to write: agent_0, agent_1 ... or, for an algorithm that decides centrally, team"""
    best: bool = False
    """as it was at its best evaluation, not at the end"""
    overwrite: bool = False
    """replace an exported policy that is there already"""


def command_export(arguments: Sequence[str]) -> int:
    """Write the folders and print them."""
    from jaxmac.export.folder import export_policy

    given = parse("export", ExportArguments, arguments)
    out = export_policy(given.run, given.member, given.out, given.best, given.overwrite)
    for folder in sorted(out.iterdir(), key=lambda x: (len(x.name), x.name)):
        print(folder)
    return 0
