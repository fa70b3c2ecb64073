"""Sinks: destinations of metrics besides metrics.csv, such as TensorBoard and Weights & Biases.

Rows are written by the Python loop between compiled chunks, never from the device. metrics.csv is the reference:
when a run is continued, the rows of metrics.csv that are kept are written to every sink again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import math
import netrc
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlparse

from jaxmac.arguments import check_names
from jaxmac.envs.shapes import kind_and_line, one_line
from jaxmac.errors import nearest
from jaxmac.registry import Registry, is_outside
from jaxmac.runs.exact import json_text
from jaxmac.runs.rows import COLUMNS, to_number

METRICS = COLUMNS[COLUMNS.index("episodes") + 1 :]


class Sink(Protocol):
    """One destination of the metrics of all members of a run."""

    def write(self, row: dict[str, Any]) -> None:
        """Receive one row of metrics.csv: column -> value of one member at one evaluation."""

    def close(self) -> None:
        """Write buffered rows and release all resources; no row follows."""


class SinkSpec(NamedTuple):
    """A registered sink; the fields are the arguments of `register_sink`."""

    factory: Callable[[Path, dict[str, Any], Sequence[dict[str, Any]]], Sink]
    package: str | None = None
    check: Callable[[], None] | None = None


SINKS: Registry[SinkSpec] = Registry("log")


def register_sink(
    name: str,
    factory: Callable[[Path, dict[str, Any], Sequence[dict[str, Any]]], Sink],
    *,
    package: str | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Add a destination of metrics: `--log NAME` on the command line, `log="NAME"` in `jaxmac.train`.

    Args:
        name: the name of the sink.
        factory: `factory(run_directory, config, members)` returns a `Sink`; it is called when a run is started or
            continued. `config` is the content of config.json, and `members` has one dict per member with its seed
            and swept values. A run that is continued writes the rows that are kept to the new sink again.
        package: a Python package that must be installed.
        check: called before anything is compiled or written; raises ValueError where the sink cannot be used.

    Raises ValueError, in one line, for a name that is taken or a factory that cannot be called.
    """
    if not callable(factory):
        raise ValueError(
            f"log {name!r} is {one_line(factory)}, but must be a class or function of (path, config, members)"
        )
    if not (check is None or callable(check)) or not (package is None or isinstance(package, str)):
        raise ValueError(f"log {name!r} must have a function as check and a text as package")
    _refuse_other_arguments(name, factory)
    SINKS.register(name, SinkSpec(factory, package, check), getattr(factory, "__module__", None))


def _refuse_other_arguments(name: str, factory: Callable) -> None:
    """Raise a one-line ValueError for a factory that cannot be called with (path, config, members)."""
    try:
        signature = inspect.signature(factory)
    except (ValueError, TypeError):  # some of those written in C do not tell
        return
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise ValueError(f"log {name!r}: its factory is called with (path, config, members): {error}") from None


def sink_names(log: str | Sequence[str]) -> list[str]:
    """The sinks named in `log`, which is a sequence of names or a text with commas, each once.

    Raises ValueError, in one line, for an unknown name or a sink that cannot be used here.
    """
    given = log.split(",") if isinstance(log, str) else log
    check_names("log", given)
    names = list(dict.fromkeys(name.strip() for name in given if name.strip()))
    for name in names:
        if name not in SINKS:
            raise ValueError(f"unknown log {name!r}; {nearest(name, SINKS)} (metrics.csv is always written)")
        package = SINKS[name].package
        if package is not None and importlib.util.find_spec(package) is None:
            wanted = package if is_outside(SINKS.origin(name)) else f"'jaxmac[{name}]'"
            raise ValueError(f"log={name} needs the package {package}: pip install {wanted}")
    for check in (SINKS[name].check for name in names):
        if check is not None:
            check()
    return names


def check_sinks(log: str | Sequence[str], out: str | os.PathLike | None) -> list[str]:
    """`sink_names` of a run in the directory `out`; ValueError also where there are sinks but no directory."""
    names = sink_names(log)
    if names and out is None:
        raise ValueError(f"log={','.join(names)} needs a run directory: pass out=")
    return names


def new_log_id() -> str:
    """A random prefix of the members' Weights & Biases ids, with which a resumed run finds them again."""
    return secrets.token_hex(4)


def open_sinks(path: Path | None, config: dict[str, Any], members: Sequence[dict[str, Any]]) -> Iterator[Sink]:
    """Open the sinks that config.json names, one after the other; none without a run directory.

    Whatever a sink raises, then or later, is an OSError of one line that names it. Raises ValueError, in one line,
    for a factory that returns something else than a `Sink`.
    """
    if path is None:
        return
    for name in config.get("log", ()):
        with _named(name):
            sink = SINKS[name].factory(path, config, members)
        if not all(callable(getattr(sink, method, None)) for method in ("write", "close")):
            expected = "but must make an object with write(row) and close()"
            raise ValueError(f"log {name!r} made a {type(sink).__name__}, {expected}")
        yield _Apart(name, sink)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn what a sink raises inside into an OSError of one line that names the sink."""
    try:
        yield
    except Exception as error:
        raise OSError(f"log {name!r} raised {kind_and_line(error)}") from error


class _Apart:
    """A sink that cannot harm the run or another sink: it gets rows of its own, and its errors name it."""

    def __init__(self, name: str, sink: Sink):
        self.name, self.sink = name, sink

    def write(self, row: dict[str, Any]) -> None:
        """Hand on a copy of the row."""
        with _named(self.name):
            self.sink.write(dict(row))

    def close(self) -> None:
        """Close the sink."""
        with _named(self.name):
            self.sink.close()


def _member_config(config: dict[str, Any], member: dict[str, Any]) -> dict[str, Any]:
    """The settings of one member, its seed included."""
    named = {name: config[name] for name in ("algorithm", "env", "env_options", "preset", "episodes", "versions")}
    return {**named, **config["settings"], **member}


def _finite_metrics(row: dict[str, Any], config: dict[str, Any]) -> dict[str, float]:
    """The metrics of a row that have a finite value; the cells may be numbers or text from metrics.csv."""
    values = {name: to_number(row[name]) for name in (*METRICS, *config.get("diagnostics", ()))}
    return {name: value for name, value in values.items() if math.isfinite(value)}


class TensorBoard:
    """Event files in RUN/tensorboard/member_000 and so on. The step axis counts training episodes."""

    def __init__(self, path: Path, config: dict[str, Any], members: Sequence[dict[str, Any]]):
        from tensorboardX import SummaryWriter

        self.config = config
        self.writers = []
        for index, member in enumerate(members):
            folder = Path(path) / "tensorboard" / f"member_{index:03d}"
            for old_file in folder.glob("events.out.tfevents.*"):
                old_file.unlink()  # the rows that are kept are written again
            writer = SummaryWriter(str(folder))
            settings = json_text(_member_config(config, member), indent=4)
            writer.add_text("config", "".join(f"    {line}\n" for line in settings.splitlines()), 0)
            self.writers.append(writer)

    def write(self, row: dict[str, Any]) -> None:
        """Write the metrics of a row as scalars."""
        writer = self.writers[int(row["member"])]
        for name, value in _finite_metrics(row, self.config).items():
            writer.add_scalar(name, value, int(row["episodes"]))
        writer.flush()

    def close(self) -> None:
        """Close the event files."""
        for writer in self.writers:
            writer.close()


class WandB:
    """One Weights & Biases run per member, grouped by the training run; WANDB_MODE=offline keeps them local."""

    def __init__(self, path: Path, config: dict[str, Any], members: Sequence[dict[str, Any]]):
        import wandb

        self.config = config
        self.runs = []
        name = Path(path).name
        for index, member in enumerate(members):
            description = ", ".join(f"{key} {value}" for key, value in member.items())
            try:
                run = wandb.init(
                    project=os.environ.get("WANDB_PROJECT", "jaxmac"),
                    group=f"{name}-{config['log_id']}",
                    id=f"{config['log_id']}-{index:03d}",
                    name=f"{name}: {description}",
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
        """Log the metrics of a row, with its training episodes as step. The service ignores steps that it has."""
        self.runs[int(row["member"])].log(_finite_metrics(row, self.config), step=int(row["episodes"]))

    def close(self) -> None:
        """Finish the runs."""
        for run in self.runs:
            run.finish()


def _refuse_missing_key() -> None:
    """Raise ValueError, in one line, if Weights & Biases is used online and there is no API key."""
    if os.environ.get("WANDB_MODE", "online") not in ("online", "run") or os.environ.get("WANDB_API_KEY"):
        return
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        login = netrc.netrc(file).authenticators(host or "")
    except (OSError, netrc.NetrcParseError):
        login = None
    if login is None:
        raise ValueError(
            f"log=wandb: no key for {host} in WANDB_API_KEY or {file}; "
            "run `wandb login`, or set WANDB_MODE=offline to keep the logs on this machine"
        )


register_sink("tensorboard", TensorBoard, package="tensorboardX")
register_sink("wandb", WandB, package="wandb", check=_refuse_missing_key)
