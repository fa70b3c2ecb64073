"""The command line: `jaxmac list | train | resume | eval | render | plot | export | bench`.

The exit status is 0 only if the command did what was asked for. It is 2 for bad input (one line on stderr), 1 for a
run that failed and 130 for one that was interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import jax

from jaxmac.cli.bench import command_bench
from jaxmac.cli.eval import command_eval
from jaxmac.cli.export import command_export
from jaxmac.cli.listing import command_list
from jaxmac.cli.parsing import print_note, take
from jaxmac.cli.plot import command_plot
from jaxmac.cli.render import command_render
from jaxmac.cli.resume import command_resume
from jaxmac.cli.train import command_train
from jaxmac.errors import first_line, nearest
from jaxmac.processes.joining import report_error
from jaxmac.registry import load_plugins
from jaxmac.runs.formats import RunNote
from jaxmac.training.cache import use_compilation_cache, without_compilation_cache
from jaxmac.training.session import TrainingError

USAGE = """usage: jaxmac COMMAND ...

  list                 list environments, algorithms and presets   [--algorithm ID: its hyperparameters]
  train                train several seeds (and swept values) together
  resume RUN           continue a run that was stopped, bit for bit as if it had not been
  eval RUN             play fresh episodes, returns with intervals   [--env ID --policy scripted|random]
  render RUN           animate an episode of a learned policy   [--env ID --policy scripted|random]
  plot RUN [RUN ...]   plot learning curves   [--out x.html: a page that compares the runs]
  export RUN           write a learned policy as files that run on NumPy alone
  bench                measure the throughput of environments and of training

Every command takes --plugin MODULE (repeatable): a Python module that registers parts, imported first.
Compiled programs are kept in the user's cache directory; --no-compilation-cache compiles all of them anew.
`jaxmac COMMAND --help` lists the options of a command."""


NO_CACHE = "--no-compilation-cache"
COMPILING = ("train", "resume", "eval", "render", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        argv: the command and its arguments; None takes those of the process.
    """
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, such as `head`, has read enough
        _discard_output()
        return 128 + 13  # as a process that SIGPIPE ends


def _run(words: list[str]) -> int:
    """Run one command; errors that the user can do something about are one line on stderr."""
    try:
        plugins, arguments = take(words, "--plugin")
        load_plugins(plugins)
        if not arguments or arguments[0] in ("-h", "--help"):
            print(USAGE)
            return 0 if arguments else 2
        name, rest = arguments[0], arguments[1:]
        if name == "--version":
            print(f"jaxmac {version('jaxmac')}")
            return 0
        if name not in COMMANDS:
            raise ValueError(f"unknown command {name!r}; {nearest(name, COMMANDS)}")
        with notes_in_a_line(), _chosen_compilation_cache(name, rest):
            return COMMANDS[name]([word for word in rest if word != NO_CACHE])
    except BrokenPipeError:
        raise
    except (ValueError, MemoryError, OSError) as error:
        return report_error(error, 2)
    except TrainingError as error:
        return report_error(error, 1)
    except (RuntimeError, AssertionError) as error:
        if _jax_starts():
            raise
        reason = f": {first_line(error)}" if str(error) else ""
        return report_error(
            ValueError(f"JAX finds no {os.environ.get('JAX_PLATFORMS', '')} device here{reason}"), 2
        )
    except KeyboardInterrupt as error:
        return report_error(error, 130)


@contextlib.contextmanager
def _chosen_compilation_cache(name: str, arguments: Sequence[str]) -> Iterator[None]:
    """Keep compiled programs unless NO_CACHE is given; `bench` measures how long compiling takes."""
    if NO_CACHE in arguments or name == "bench":
        with without_compilation_cache():
            yield
        return
    if name in COMPILING and not {"-h", "--help"} & set(arguments):
        use_compilation_cache()
    yield


def _jax_starts() -> bool:
    """Whether JAX finds a device of the kind that JAX_PLATFORMS asks for."""
    try:
        return bool(jax.devices())
    except (RuntimeError, AssertionError):
        return False


def _discard_output() -> None:
    """Let the interpreter flush what is left of stdout into nothing at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def notes_in_a_line() -> Iterator[None]:
    """Inside, a `RunNote` is a line on stderr instead of a Python warning with its place in the code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, RunNote):
                print_note(str(message))
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        yield


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": command_list,
    "train": command_train,
    "resume": command_resume,
    "eval": command_eval,
    "render": command_render,
    "plot": command_plot,
    "export": command_export,
    "bench": command_bench,
}

if __name__ == "__main__":
    sys.exit(main())
