"""The command line: `jaxmac list | train | resume | eval | render | plot | export | bench`.

Exit status: 0 only when what was asked for was done, 2 for bad input (one line on stderr), 1 for a run that failed,
130 for an interrupted one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from jaxmac.cli.bench import command_bench
from jaxmac.cli.eval import command_eval
from jaxmac.cli.export import command_export
from jaxmac.cli.listing import command_list
from jaxmac.cli.plot import command_plot
from jaxmac.cli.render import command_render
from jaxmac.cli.resume import command_resume
from jaxmac.cli.train import command_train
from jaxmac.errors import nearest
from jaxmac.processes.joining import report_error
from jaxmac.training.session import TrainingError

USAGE = """usage: jaxmac COMMAND ...

  list                 environments, algorithms, presets   [--algorithm ID: its hyperparameters]
  train                train seeds (and swept values) together
  resume RUN           continue a run that was stopped, bit for bit as if it never had been
  eval RUN             fresh episodes of a run, with intervals   [--env ID --policy scripted|random]
  render RUN           animation of a learned policy     [--env ID --policy scripted|random: of an environment]
  plot RUN [RUN ...]   learning curves of several runs   [--out x.html: a page that compares them]
  export RUN           a member's policy as files that run without jaxmac, on NumPy alone
  bench                environment and training throughput

`jaxmac COMMAND --help` lists the options of a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    try:
        if name not in COMMANDS:
            raise ValueError(f"unknown command {name!r}; {nearest(name, COMMANDS)}")
        return COMMANDS[name](rest)
    except (ValueError, MemoryError, OSError) as error:
        return report_error(error, 2)
    except TrainingError as error:
        return report_error(error, 1)
    except KeyboardInterrupt as error:
        return report_error(error, 130)


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
