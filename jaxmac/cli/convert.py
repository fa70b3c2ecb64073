"""`jaxmac convert`: settings of another program's run as a file for `jaxmac train --config`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from jaxmac.cli.parsing import print_note, take
from jaxmac.errors import nearest
from jaxmac.runs.outputs import output_file

USAGE = """usage: jaxmac convert macromarl [--out FILE.yaml] FLAGS ...

Write the settings of a MacroMARL run as a file for `jaxmac train --config`; without --out it is printed.
FLAGS are those of value_based_main.py or pg_based_main.py, whose name may stand in front. What has no
equivalent is named on stderr and in the file, one line each (docs/coming_from/macromarl.md)."""
FIRST_LINE = "# Settings for `jaxmac train --config`, written by `jaxmac convert`"
SOURCES = ("macromarl",)


def command_convert(arguments: Sequence[str]) -> int:
    """Convert, print or write the file and the notes, and return the exit status."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE)
        return 0 if arguments else 2
    outs, words = take(arguments, "--out")
    source, words = (words[0], words[1:]) if words else ("", [])
    if source not in SOURCES:
        raise ValueError(f"jaxmac converts no {source!r}; {nearest(source, SOURCES)}")
    if len(outs) > 1:
        raise ValueError("--out is given twice; give it once")
    path = _writable(outs[0]) if outs else None
    if not words:
        raise ValueError("jaxmac convert macromarl needs flags, such as --alg=MacDecQ --env_id=OSD-D-v7 (--help)")
    from jaxmac.cli.macromarl import from_macromarl

    settings, notes = from_macromarl(words)
    lines = [FIRST_LINE + " from", f"# {source} {shlex.join(words)}", *(f"# note: {note}" for note in notes)]
    lines = [" ".join(line.splitlines()) for line in lines]  # a line break in a word must not end the comment
    text = "\n".join(lines) + "\n" + yaml.safe_dump(settings, sort_keys=False, default_flow_style=None, width=116)
    for note in notes:
        print_note(note)
    if path is None:
        print(text, end="")
    else:
        path.write_text(text, encoding="utf-8")
        print(f"{path}: `jaxmac train --config {path}`")
    return 0


def _writable(out: str) -> Path:
    """The file to write; an error, in one line, if another program or a person wrote what is there."""
    path = output_file(out, (".yaml", ".yml"))
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINE):
        raise FileExistsError(
            f"--out {path} holds something that `jaxmac convert` did not write: choose another name"
        )
    return path
