"""`--plugin MODULE`: loaded before anything else, once, and refused in one line where it cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import refused
from support.registries import registered_only_here

from jaxmac.cli.main import main
from jaxmac.cli.parsing import take
from jaxmac.runs.sinks import SINKS

ROOT = Path(__file__).parents[2]
PLUGIN = """
import jaxmac

jaxmac.register_sink("plugged", lambda path, config, members: None)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current directory for plugins; what they register is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    with registered_only_here():
        yield tmp_path


def test_a_missing_module_is_named_in_one_line(folder, capsys):
    error = refused(capsys, "list", "--plugin", "no_such_parts")
    assert "plugin 'no_such_parts' cannot be imported: there is no such module" in error
    (folder / "needs_more.py").write_text("import no_such_library\n")
    assert "needs the module no_such_library" in refused(capsys, "list", "--plugin=needs_more")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('two\\nlines')", "it raised RuntimeError: two"),
        ("def f(:", "it raised SyntaxError"),
        ("import sys; sys.exit('enough')", "it raised SystemExit: enough"),
        ("import jaxmac; jaxmac.register_sink('wandb', print)", "log 'wandb' is registered already"),
    ],
)
def test_a_module_that_raises_is_named_in_one_line(code, reason, folder, capsys):
    (folder / "broken_parts.py").write_text(code)
    error = refused(capsys, "train", "--plugin", "broken_parts", "--out", "run")
    assert "plugin 'broken_parts' cannot be imported: " in error and reason in error
    assert not (folder / "run").exists()


def test_a_module_given_twice_is_loaded_once(folder, capsys):
    (folder / "twice_parts.py").write_text(PLUGIN)
    assert main(["--plugin", "twice_parts", "list", "--plugin=twice_parts"]) == 0
    assert "plugged" in SINKS and SINKS.origin("plugged") == "twice_parts"


@pytest.mark.parametrize("command", ["list", "train", "resume", "eval", "render", "plot", "export", "bench"])
def test_every_command_loads_plugins_before_it_reads_its_arguments(command, folder, capsys):
    (folder / "early_parts.py").write_text(PLUGIN)
    assert main([command, "--plugin", "early_parts", "--no-such-option"]) == 2
    assert "plugged" in SINKS and "early_parts" not in capsys.readouterr().err


def test_a_flag_without_a_module_is_refused(capsys):
    assert "--plugin needs a value" in refused(capsys, "list", "--plugin")
    assert "--plugin needs a value" in refused(capsys, "list", "--plugin", "--algorithm", "avf-vdn")
    assert "--plugin needs a value" in refused(capsys, "list", "--plugin=")


def test_values_are_taken_in_order_and_nothing_else():
    assert take(["a", "--plugin", "x", "--plugins", "--plugin=y", "b"], "--plugin") == (
        ["x", "y"],
        ["a", "--plugins", "b"],
    )


def test_the_current_directory_is_searched_from_the_console(folder):
    (folder / "console_parts.py").write_text(PLUGIN + "print('console_parts is imported')\n")
    command = [sys.executable, "-c", "import sys; from jaxmac.cli.main import main; sys.exit(main())"]
    isolated = [command[0], "-P", *command[1:]]  # without the current directory, as the command jaxmac starts
    path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    arguments = ["--plugin", "console_parts", "--help"]
    done = subprocess.run([*isolated, *arguments], capture_output=True, text=True, env=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("console_parts is imported\nusage: jaxmac")
