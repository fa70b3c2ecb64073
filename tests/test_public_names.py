"""`import jaxmac` loads nothing but the list of its names; each is loaded when it is first used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmac

STUB = Path(jaxmac.__file__).with_suffix(".pyi")


def loaded_by(code):
    """The modules that a fresh process has loaded after `code`."""
    report = "import sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import jaxmac",
        "import jaxmac; dir(jaxmac)",
        "from jaxmac.cli.main import main; assert main(['--help']) == 0",
    ],
)
def test_neither_the_import_nor_the_help_waits_for_jax(code):
    loaded = loaded_by(code)
    assert "jaxmac" in loaded
    assert not loaded & {"jax", "numpy", "flax", "tyro", "matplotlib"}


def test_value_based_training_does_not_wait_for_distrax():
    loaded = loaded_by("import jaxmac; jaxmac.train, jaxmac.list_algorithms()")
    assert "jax" in loaded
    assert not loaded & {"distrax", "tensorflow_probability"}


def test_every_public_name_is_there_and_listed_for_type_checkers():
    assert [name for name in jaxmac.__all__ if not hasattr(jaxmac, name)] == []
    assigned = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.Assign)]
    assert sorted(jaxmac.__all__) == sorted(ast.literal_eval(assigned[0].value))
    with pytest.raises(AttributeError, match="trian"):
        jaxmac.trian  # noqa: B018


@pytest.mark.parametrize(
    "seconds", [0.2, pytest.param(0.4, marks=pytest.mark.slow), pytest.param(0.8, marks=pytest.mark.slow)]
)
def test_ctrl_c_while_the_library_is_loaded_is_a_line(seconds):
    code = f"""
import signal, sys, threading
from jaxmac.cli.main import main
threading.Timer({seconds}, signal.raise_signal, [signal.SIGINT]).start()
sys.exit(main(["list"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "jaxmac: interrupted\n")


def test_a_ctrl_c_that_falls_into_a_callback_of_the_garbage_collector_is_not_lost():
    code = """
import gc, signal, sys, time
import jaxmac.cli.main as cli

def callback(phase, info):
    gc.callbacks.remove(callback)
    signal.raise_signal(signal.SIGINT)

def command(words):
    gc.callbacks.append(callback)
    gc.collect()
    for _ in range(300):  # one long sleep may begin after the signal has come, and would not end
        time.sleep(0.1)

cli._command = command
sys.exit(cli.main(["list"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "jaxmac: interrupted\n")
