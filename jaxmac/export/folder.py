"""Trained policies as folders that run without jaxmac: one for each agent, or one for a team.

A folder holds `policy.json` (arguments, result and when to call the policy), `weights.npz`, `policy.jax_export`
(the same policy as serialised StableHLO) and, unless its memory is from outside the library, `run_policy.py`, which
runs it with NumPy alone. The weights have the sizes of the agent's own observation and macro-actions. Loading a
folder executes no code from it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxmac.arguments import check_path, check_switches, is_integer
from jaxmac.envs.environment import Environment
from jaxmac.envs.shapes import one_line
from jaxmac.errors import RunNote
from jaxmac.export.description import FORMAT, exported_networks, serialise, weights_of
from jaxmac.record.policy import Policy
from jaxmac.runs.exact import json_description
from jaxmac.runs.outputs import refuse_owned
from jaxmac.runs.result import Result, load

RUNNER = Path(__file__).with_name("runner.py")
FILES = ("policy.json", "weights.npz", "policy.jax_export", "run_policy.py")


def export_policy(
    run: Result | str | os.PathLike,
    member: int,
    out: str | os.PathLike,
    best: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the learned policy of a member to the folder `out`, and return its path.

    Args:
        run: a Result or a run directory.
        member: index of the member.
        out: the folder to write. It gets a folder for each agent (`agent_0`, `agent_1`, ...), or `team` for an
            algorithm that decides centrally.
        best: take the learner of the member's best evaluation instead of the last one.
        overwrite: replace an exported policy that is already there.

    Raises:
        ValueError: the member is out of range, or the policy does not consist of networks that can be exported.
        RunDirectoryError: `run` is not a run directory, or holds no checkpoint.
        OSError: `out` is not empty, cannot be written, or belongs to a run.
    """
    check_switches(best=best, overwrite=overwrite)
    check_path("out", out)
    if not is_integer(member):
        raise ValueError(f"member is {one_line(member)}, but must be the index of a member")
    _refuse_occupied(Path(out), overwrite)
    result = run if isinstance(run, Result) else load(run)
    policy = result.policy(member, best)
    provenance = {
        "algorithm": result.config["algorithm"],
        "member": member,
        "seed": result.specs[member].seed,
        "swept": result.specs[member].swept,
        "at_best_evaluation": best,
    }
    return write_policy(policy, result.env, out, provenance, overwrite)


def write_policy(
    policy: Policy, env: Environment, out: str | os.PathLike, provenance: dict[str, Any], overwrite: bool = False
) -> Path:
    """Write the networks of a policy for `env` to the folder `out`, all of them or nothing, and return its path.

    `provenance` says where the policy comes from; it is added to every policy.json. A `RunNote` says where there is
    no NumPy runner, as it does not implement a memory from outside. Raises ValueError for a policy
    without networks (`Policy.networks` is None) or with networks that cannot be exported, OSError if `out` is not
    empty or cannot be written.
    """
    if policy.networks is None:
        name = provenance.get("algorithm", "this algorithm")
        raise ValueError(f"the policy of {name} has no recurrent networks to export")
    if importlib.util.find_spec("flatbuffers") is None:
        raise ValueError("jax.export needs flatbuffers to write a function: pip install flatbuffers")
    out = Path(out)
    _refuse_occupied(out, overwrite)
    networks = exported_networks(policy.networks, env)
    common = {
        "format": FORMAT,
        "jaxmac": importlib.metadata.version("jaxmac"),
        "environment": {"id": env.name, "options": json_description(env.options)},
        **provenance,
    }
    with _replacing(out) as draft:
        for name, network in networks.items():
            folder = draft / name
            folder.mkdir()
            text = json.dumps({**common, **network.description}, indent=2, default=_to_json)
            (folder / "policy.json").write_text(text + "\n", encoding="utf-8")
            np.savez_compressed(folder / "weights.npz", **weights_of(network))  # type: ignore[arg-type]
            (folder / "policy.jax_export").write_bytes(serialise(network))
            if network.runs_with_numpy:
                shutil.copyfile(RUNNER, folder / "run_policy.py")
    if not all(network.runs_with_numpy for network in networks.values()):
        note = f"run_policy.py does not implement the memory of {out}: policy.jax_export runs it, with JAX"
        warnings.warn(note, RunNote, stacklevel=3)
    return out


def _to_json(value: Any) -> Any:
    """Arrays and NumPy scalars as lists and numbers."""
    return value.tolist()


def _refuse_occupied(out: Path, overwrite: bool) -> None:
    """Raise OSError unless `out` is missing, empty, or an exported policy that may be overwritten.

    Also for a folder that a run owns, or below a file.
    """
    refuse_owned(out)
    if out.exists() and not out.is_dir():
        raise OSError(f"{out} is a file, not a directory: choose another --out")
    for parent in out.parents:
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(f"cannot write {out}: {parent} is a file, not a folder")
    content = list(out.iterdir()) if out.is_dir() else []
    if not all(map(_is_exported_policy, content)):
        raise OSError(f"{out} is not empty and holds other things than an exported policy: choose another --out")
    if content and not overwrite:
        raise OSError(
            f"{out} already holds an exported policy: choose another --out or replace it with --overwrite"
        )


def _is_exported_policy(folder: Path) -> bool:
    """Whether a folder holds an exported policy and no other files."""
    return (folder / "policy.json").is_file() and {x.name for x in folder.iterdir()} <= {*FILES, "__pycache__"}


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Give an empty folder that replaces `out` at the end of the block. After an error `out` is unchanged."""
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
