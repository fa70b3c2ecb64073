"""Compiled programs are found again, a damaged one is compiled anew, and the folder does not grow for ever."""

import os
import warnings

import jax
import jax.numpy as jnp
import pytest
from support.compilation_cache import forget_damaged, prune, use

CACHE = use()


def run_program(name):
    """Compile and run a function of this name that is new to this process."""

    def function(x):
        return 3 * x + len(name)

    function.__name__ = name
    return jax.jit(function)(jnp.ones(7)).tolist()


@pytest.fixture
def kept():
    """Name of a program that the cache holds, and its entry; removed again afterwards."""
    name = f"kept_by_process_{os.getpid()}"
    run_program(name)
    (entry,) = CACHE.glob(f"jit_{name}-*-cache")
    yield name, entry
    entry.unlink(missing_ok=True)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"?" + b[1:]])
def test_a_damaged_entry_breaks_nothing_and_is_forgotten(kept, damage):
    name, entry = kept
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    with pytest.warns(UserWarning, match="Error reading persistent compilation cache entry") as found:
        assert run_program(name) == [3.0 + len(name)] * 7
    for warning in found:
        forget_damaged(CACHE, str(warning.message))
    assert not entry.exists()

    run_program(name)
    assert entry.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_program(name)


def test_other_warnings_remove_nothing(kept):
    forget_damaged(CACHE, f"jit_{kept[0]} is deprecated")
    assert kept[1].exists()


def test_what_was_read_last_is_kept(tmp_path):
    for age, name in enumerate("abcd"):
        (tmp_path / f"{name}-cache").write_bytes(b"0" * 100)
        os.utime(tmp_path / f"{name}-cache", (1000 - age, 1000 - age))
    (tmp_path / "notes.txt").write_text("not a program")
    prune(tmp_path, largest=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cache", "b-cache", "notes.txt"]
