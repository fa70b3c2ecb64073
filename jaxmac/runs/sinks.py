"""Where metrics go besides metrics.csv: TensorBoard and Weights & Biases, one run per member.

Rows are written from the Python loop between chunks, never from the device. metrics.csv stays the truth: a run that
goes on rewrites its event files from it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import netrc
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlparse

from jaxmac.errors import nearest
from jaxmac.registry import Registry
from jaxmac.runs.directory import COLUMNS, number

METRICS = COLUMNS[COLUMNS.index("episodes") + 1 :]


class Sink(Protocol):
    """One destination of the rows of all members."""

    def write(self, row: dict[str, Any]) -> None:
        """One member's row of metrics, as for metrics.csv."""

    def close(self) -> None:
        """Everything is written."""


class SinkSpec(NamedTuple):
    """A registered sink."""

    factory: Callable[..., Sink]
    package: str | None  # that must be installed for it


SINKS: Registry[SinkSpec] = Registry("log")


def register_sink(name: str, factory: Callable[..., Sink], *, package: str | None = None) -> None:
    """Add a destination of metrics: `--log NAME`, in Python `log="NAME"`.

    Args:
        name: its name.
        factory: called with `(path, config, members)`, the run directory, the content of config.json and one dict
            per member with its seed and swept values; returns an object with `write(row)` and `close()` (see
            `Sink`). A run that is resumed calls it again and writes the rows that stay from the beginning.
        package: a package that must be installed for it.

    Raises ValueError, in one line, for a name that is taken or a factory of the wrong kind.
    """
    if not callable(factory):
        raise ValueError(f"log {name!r} is {factory!r}; expected a class or function of (path, config, members)")
    SINKS.register(name, SinkSpec(factory, package), getattr(factory, "__module__", None))


def sink_names(log: str | Sequence[str]) -> list[str]:
    """The names in `log`, a sequence or a text with commas; a one-line ValueError for one that cannot be used.

    That is an unknown one, one whose package is missing, or Weights & Biases online without a key.
    """
    given = log.split(",") if isinstance(log, str) else log
    names = list(dict.fromkeys(name.strip() for name in given if name.strip()))
    for name in names:
        if name not in SINKS:
            raise ValueError(f"unknown log {name!r}; {nearest(name, SINKS)} (metrics.csv is always written)")
        package = SINKS[name].package
        if package is not None and importlib.util.find_spec(package) is None:
            raise ValueError(f"log={name} needs the package {package}: pip install 'jaxmac[{name}]'")
    if "wandb" in names:
        _refuse_missing_key()
    return names


def check_sinks(log: str | Sequence[str], out: Any) -> list[str]:
    """`sink_names`, which need a run directory `out` to be written to."""
    names = sink_names(log)
    if names and out is None:
        raise ValueError(f"log={','.join(names)} needs a run directory: pass out=")
    return names


def new_log_id() -> str:
    """What the Weights & Biases ids of a run's members begin with, so that a resumed run finds them again."""
    return secrets.token_hex(4)


def open_sinks(path: Path | None, config: dict[str, Any], members: Sequence[dict[str, Any]]) -> list[Sink]:
    """The sinks named in config.json; what a run that goes on has written before is cleared where it can be."""
    if path is None:
        return []
    return [SINKS[name].factory(path, config, members) for name in config.get("log", ())]


def _member_config(config: dict[str, Any], member: dict[str, Any]) -> dict[str, Any]:
    """What one member ran with."""
    named = {name: config[name] for name in ("algorithm", "env", "env_options", "preset", "episodes", "versions")}
    return {**named, **config["settings"], **member}


def _finite(row: dict[str, Any]) -> dict[str, float]:
    """The metrics of a row, fresh or read from the CSV, that apply: the others are NaN or empty."""
    values = {name: number(row[name]) for name in METRICS}
    return {name: value for name, value in values.items() if math.isfinite(value)}


class TensorBoard:
    """Event files in RUN/tensorboard/member_000 and so on, steps are training episodes."""

    def __init__(self, path: Path, config: dict[str, Any], members: Sequence[dict[str, Any]]):
        from tensorboardX import SummaryWriter

        self.writers = []
        for index, member in enumerate(members):
            folder = Path(path) / "tensorboard" / f"member_{index:03d}"
            for before in folder.glob("events.out.tfevents.*"):
                before.unlink()  # the rows that stay are written again
            writer = SummaryWriter(str(folder))
            settings = json.dumps(_member_config(config, member), indent=4, default=str)
            writer.add_text("config", "".join(f"    {line}\n" for line in settings.splitlines()), 0)
            self.writers.append(writer)

    def write(self, row: dict[str, Any]) -> None:
        """The row as scalars."""
        writer = self.writers[int(row["member"])]
        for name, value in _finite(row).items():
            writer.add_scalar(name, value, int(row["episodes"]))
        writer.flush()

    def close(self) -> None:
        """Close all files."""
        for writer in self.writers:
            writer.close()


class WandB:
    """One Weights & Biases run per member in a group of their own; online or offline by WANDB_MODE."""

    def __init__(self, path: Path, config: dict[str, Any], members: Sequence[dict[str, Any]]):
        import wandb

        self.runs = []
        name = Path(path).name
        for index, member in enumerate(members):
            told = ", ".join(f"{key} {value}" for key, value in member.items())
            try:
                run = wandb.init(
                    project=os.environ.get("WANDB_PROJECT", "jaxmac"),
                    group=f"{name}-{config['log_id']}",
                    id=f"{config['log_id']}-{index:03d}",
                    name=f"{name}: {told}",
                    config=_member_config(config, member),
                    dir=str(path),
                    resume="allow",
                    reinit="create_new",
                    settings=wandb.Settings(silent=True),
                )
            except wandb.errors.Error as error:
                self.close()
                raise OSError(f"Weights & Biases: {' '.join(str(error).split())}") from error
            self.runs.append(run)

    def write(self, row: dict[str, Any]) -> None:
        """The row as one step; steps are training episodes, those the service knows already are ignored there."""
        self.runs[int(row["member"])].log(_finite(row), step=int(row["episodes"]))

    def close(self) -> None:
        """Finish all runs."""
        for run in self.runs:
            run.finish()


def _refuse_missing_key() -> None:
    if os.environ.get("WANDB_MODE", "online") not in ("online", "run") or os.environ.get("WANDB_API_KEY"):
        return
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        known = netrc.netrc(file).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        known = None
    if known is None:
        raise ValueError(
            f"log=wandb: no key for {host} in WANDB_API_KEY or {file}; "
            "run `wandb login`, or set WANDB_MODE=offline to keep the logs on this machine"
        )


register_sink("tensorboard", TensorBoard, package="tensorboardX")
register_sink("wandb", WandB, package="wandb")
