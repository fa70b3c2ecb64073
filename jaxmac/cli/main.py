"""The command line: `jaxmac list | train | convert | resume | eval | render | plot | export | bench`.

The exit status is 0 only if the command did what was asked for. It is 2 for bad input (one line on stderr), 1 for a
run that failed, 130 for one that was interrupted, and 128 plus the number of another signal that stopped it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from jaxmac.errors import first_line, nearest

USAGE = """usage: jaxmac COMMAND ...

  list                 list environments and algorithms   [--envs, --algorithms, --algorithm ID: its settings]
  train                train several seeds (and swept values) together   [--config FILE, --like RUN, --dry-run]
  convert macromarl    settings of a MacroMARL run, as a file for train --config
  resume RUN           continue a run that was stopped, bit for bit as if it had not been
  eval RUN             play fresh episodes, returns with intervals   [--env ID --policy zoo|scripted|random]
  render RUN           animate an episode of a learned policy   [--env ID --policy zoo|scripted|random]
  plot RUN [RUN ...]   plot learning curves   [--out x.html: a page that compares the runs]
  export RUN           write a learned policy as files that run on NumPy alone
  bench                measure the throughput of environments and of training

Every command takes --plugin MODULE (repeatable): a Python module that registers parts, imported first.
Compiled programs are kept in the user's cache directory; --no-compilation-cache compiles all of them anew.
`jaxmac COMMAND --help` lists the options of a command."""


NO_CACHE = "--no-compilation-cache"
COMPILING = ("train", "resume", "eval", "render", "plot", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        argv: the command and its arguments; None takes those of the process.
    """
    try:
        try:
            with _interrupts_reach_the_command():
                return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, such as `head`, has read enough
        _discard_output()
        return 128 + 13  # as a process that SIGPIPE ends
    except KeyboardInterrupt:  # while the library itself was being loaded
        print("jaxmac: interrupted", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _interrupts_reach_the_command() -> Iterator[None]:
    """Send a Ctrl-C again that fell into a callback of the garbage collector: Python drops what is raised there."""
    usual = sys.unraisablehook

    def once_more(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
            again.daemon = True
            again.start()
        else:
            usual(unraisable)

    sys.unraisablehook = once_more
    try:
        yield
    finally:
        sys.unraisablehook = usual


@contextlib.contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Let a Ctrl-C wait while modules are loaded: one that stops inside an extension is an ImportError."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if received:
            raise KeyboardInterrupt


def _run(words: list[str]) -> int:
    """Run one command. What takes long to import is imported once it is needed."""
    if words[:1] == ["help"]:  # `jaxmac help train`, as with git
        words = [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if words else 2
    if words[0] == "--version":
        print(f"jaxmac {version('jaxmac')}")
        return 0
    with _interrupted_afterwards():
        from jaxmac.processes.joining import report_error
        from jaxmac.training.session import TrainingError

    try:
        return _command(words)
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


def _command(words: list[str]) -> int:
    """Run one command; raises what is wrong with it."""
    from jaxmac.cli.parsing import take
    from jaxmac.registry import load_plugins

    plugins, arguments = take(words, "--plugin")
    load_plugins(plugins)
    if not arguments or arguments[0] in ("-h", "--help", "--version"):
        return _run(arguments)
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}; {nearest(name, COMMANDS)}")
    with _interrupted_afterwards():
        module = import_module(COMMANDS[name])
    run: Callable[[Sequence[str]], int] = getattr(module, f"command_{name}")
    kept = [word for word in rest if word.replace("_", "-") != NO_CACHE]
    with notes_in_a_line(), _chosen_compilation_cache(name, rest, wanted=len(kept) == len(rest)):
        return run(kept)


@contextlib.contextmanager
def _chosen_compilation_cache(name: str, arguments: Sequence[str], wanted: bool) -> Iterator[None]:
    """Keep compiled programs if that is `wanted`; `bench` measures how long compiling takes."""
    from jaxmac.training.cache import trouble_in_a_line, use_compilation_cache, without_compilation_cache

    if not wanted or name == "bench":
        with without_compilation_cache():
            yield
        return
    given = {word.partition("=")[0].replace("_", "-") for word in arguments}
    if name in COMPILING and not {"-h", "--help", "--dry-run"} & given:
        use_compilation_cache()
    with trouble_in_a_line():
        yield


def _jax_starts() -> bool:
    """Whether JAX finds a device of the kind that JAX_PLATFORMS asks for."""
    import jax

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
    from jaxmac.cli.parsing import print_note
    from jaxmac.errors import RunNote

    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, RunNote):
                print_note(str(message))
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        yield


COMMANDS = {  # the module of each
    "list": "jaxmac.cli.listing",
    "train": "jaxmac.cli.train",
    "convert": "jaxmac.cli.convert",
    "resume": "jaxmac.cli.resume",
    "eval": "jaxmac.cli.eval",
    "render": "jaxmac.cli.render",
    "plot": "jaxmac.cli.plot",
    "export": "jaxmac.cli.export",
    "bench": "jaxmac.cli.bench",
}

if __name__ == "__main__":
    sys.exit(main())
