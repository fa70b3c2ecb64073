"""`jaxmac train --dry-run`: what a run would be, printed before anything compiles; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmac import envs
from jaxmac.algorithms.registry import configure
from jaxmac.cli.listing import by_group
from jaxmac.cli.tables import Row, print_line, print_table, stdout_console
from jaxmac.config import settings_of
from jaxmac.errors import bytes_in_words
from jaxmac.processes.collective import is_main_process
from jaxmac.runs.directory import RunDirectory
from jaxmac.training.preparation import Prepared, Request, prepare
from jaxmac.training.program import Program


def print_plan(
    algorithm: str,
    env_id: str,
    out: str | os.PathLike,
    run_defaults: Mapping[str, Any],
    **options: Any,
) -> None:
    """Print the size, the programs and all settings of a run; those that differ from the default are marked.

    Args:
        algorithm: as in `jaxmac.train`.
        env_id: as in `jaxmac.train`.
        out: as in `jaxmac.train`.
        run_defaults: the defaults of the other arguments, such as `seeds`, as they are shown.
        **options: the other arguments of `jaxmac.training.preparation.Request`.

    Raises what `jaxmac.train` raises before it compiles, except what checking the contract of an environment from
    outside the library would find: that plays episodes.
    """
    console = stdout_console()
    console.soft_wrap = True  # a line stays a line
    request = Request(algorithm, env_id, out=out, check_environment=False, compilation_cache=False, **options)
    prepared = prepare(request, console)
    if not is_main_process():
        return
    RunDirectory(out).check(options["overwrite"], prepared.on_disk)
    _print_programs(prepared)
    print_line(f"{bytes_in_words(prepared.on_disk)} on disk at most, in {out}")
    rows: list[Row] = [("run",)]
    shown = {"algorithm": algorithm, "env": env_id, "out": out, **options}
    rows += [_row(name, shown[name], default) for name, default in run_defaults.items()]
    rows += [("environment",), *_environment_rows(env_id, prepared)]
    rows += _setting_rows(prepared, configure(algorithm, options["preset"], prepared.env, {}))
    print_table(("  setting", "value", "default where it differs"), rows)
    print_line("dry run: nothing was compiled or written")


def _print_programs(prepared: Prepared) -> None:
    """The compiled programs, and which members each of them trains."""
    count = len(prepared.programs)
    print_line("1 compiled program" if count == 1 else f"{count} compiled programs, trained one after the other")
    for program in prepared.programs if count > 1 else ():
        static = {name: value for name, value in program.specs[0].swept.items() if name not in program.hyper}
        which = ", ".join(f"{name}={value}" for name, value in static.items())
        print_line(f"  {len(program.specs)} members with {which}: {bytes_in_words(_memory(program))} of memory")


def _memory(program: Program) -> int:
    return program.footprint().total


def _environment_rows(env_id: str, prepared: Prepared) -> list[Row]:
    defaults = {name: default for name, (_, default) in envs.env_options(env_id).items()}
    return [_row(name, value, defaults.get(name)) for name, value in prepared.env.options.items()]


def _setting_rows(prepared: Prepared, defaults: Any) -> list[Row]:
    """Every setting of the members by the part that owns it; a swept one has all its values."""
    rows: list[Row] = []
    sweep: Mapping[str, Sequence[Any]] = prepared.config["sweep"]
    fields = {name: field for spec in prepared.specs for name, field in settings_of(type(spec.config)).items()}
    settings = prepared.config["settings"]
    for group, names in by_group(fields).items():
        rows.append((group,))
        for name in names:
            default = getattr(defaults, name, fields[name].default)
            value = ", ".join(map(str, sweep[name])) + " (swept)" if name in sweep else settings[name]
            rows.append(_row(name, value, default))
    return rows


def _row(name: str, value: Any, default: Any) -> Row:
    """A setting with its value, and its default and a mark where they differ."""
    differs = value != default and str(value) != str(default)
    return (f"{'*' if differs else ' '} {name}", _shown(value), _shown(default) if differs else "")


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple) and value and not any(isinstance(one, list | tuple) for one in value):
        return ",".join(map(str, value))
    return "-" if value in (None, "", (), []) else str(value)
