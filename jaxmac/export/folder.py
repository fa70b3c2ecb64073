"""Trained policies as artifacts that run without jaxmac: one folder for each agent, or one for a team.

A folder holds `policy.json` (what goes in, what comes out, when to ask), `weights.npz`, `policy.jax_export` (the
same policy as serialised StableHLO) and `run_policy.py`, which plays it with NumPy alone. Weights are cut to the
agent's own observation and macro-actions, and loading them executes nothing.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac.envs.environment import Environment
from jaxmac.export.description import parts_of, serialised, weights_of
from jaxmac.record.policy import Policy
from jaxmac.runs.result import Result, load

FORMAT = 1  # of an exported policy
RUNNER = Path(__file__).with_name("runner.py")
FILES = ("policy.json", "weights.npz", "policy.jax_export", "run_policy.py")


def export_policy(
    run: Result | str | os.PathLike,
    member: int,
    out: str | os.PathLike,
    best: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write what a member has learned to the folder `out`; returns it.

    Args:
        run: a Result or a run directory.
        member: which one; `best` takes it as it was at its best evaluation.
        out: gets `agent_0`, `agent_1` ... or, for an algorithm that decides centrally, `team`.
        overwrite: replace the exported policy that is there.

    Raises:
        ValueError: the member is out of range, or the policy is not one of recurrent networks.
        RunDirectoryError: no run directory, or no checkpoint in it.
        OSError: `out` is not empty or cannot be written.
    """
    _refuse_used(Path(out), overwrite)
    result = run if isinstance(run, Result) else load(run)
    policy = result.policy(member, best)
    about = {
        "algorithm": result.config["algorithm"],
        "member": member,
        "seed": result.specs[member].seed,
        "swept": result.specs[member].swept,
        "at_best_evaluation": best,
    }
    return write_policy(policy, result.env, out, about, overwrite)


def write_policy(
    policy: Policy, env: Environment, out: str | os.PathLike, about: dict[str, Any], overwrite: bool = False
) -> Path:
    """Write the networks of a policy for `env` to the folder `out`: all of it or nothing.

    `about` says where it comes from and is added to every policy.json. Raises ValueError where the policy has no
    networks of its own (`Policy.nets`), OSError where `out` is not empty or cannot be written.
    """
    if policy.nets is None:
        raise ValueError(
            f"the policy of {about.get('algorithm', 'this algorithm')} has no recurrent nets to export"
        )
    if importlib.util.find_spec("flatbuffers") is None:
        raise ValueError("jax.export needs flatbuffers to write a function: pip install flatbuffers")
    out = Path(out)
    _refuse_used(out, overwrite)
    parts = parts_of(policy.nets, env)
    common = {
        "format": FORMAT,
        "jaxmac": importlib.metadata.version("jaxmac"),
        "environment": {"id": env.name, "options": env.options},
        **about,
    }
    with _replacing(out) as draft:
        for name, part in parts.items():
            folder = draft / name
            folder.mkdir()
            text = json.dumps({**common, **part.description}, indent=2, default=_plain)
            (folder / "policy.json").write_text(text + "\n", encoding="utf-8")
            np.savez(folder / "weights.npz", **weights_of(part))
            (folder / "policy.jax_export").write_bytes(serialised(part))
            shutil.copyfile(RUNNER, folder / "run_policy.py")
    return out


def _plain(value: Any) -> Any:
    """What JSON has no word for: arrays and NumPy's numbers as lists and numbers, the rest by name."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _refuse_used(out: Path, overwrite: bool) -> None:
    """Raise OSError unless `out` is free, or holds nothing but an exported policy that may be replaced."""
    if out.exists() and not out.is_dir():
        raise OSError(f"{out} is a file, not a directory: choose another --out")
    held = list(out.iterdir()) if out.is_dir() else []
    if not all(map(_is_ours, held)):
        raise OSError(f"{out} is not empty and holds other things than an exported policy: choose another --out")
    if held and not overwrite:
        raise OSError(
            f"{out} already holds an exported policy: choose another --out or replace it with --overwrite"
        )


def _is_ours(folder: Path) -> bool:
    return (folder / "policy.json").is_file() and {x.name for x in folder.iterdir()} <= {*FILES, "__pycache__"}


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """An empty folder that takes the name `out` once it is filled; after a failure nothing has changed."""
    out = out.resolve()
    scratch = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        draft, before = scratch / "new", scratch / "before"
        draft.mkdir()
        yield draft
        if out.exists():
            out.rename(before)
        try:
            draft.rename(out)
        except OSError:
            if before.exists():
                before.rename(out)
            raise
    except OSError as error:
        raise OSError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
