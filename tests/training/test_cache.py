"""Compiled programs are kept in the user's cache directory, and nothing about that directory stops a run."""

import os
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import pytest
from support.commands import SMALL

from jaxmac.errors import RunNote
from jaxmac.training import cache


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """A process in which nothing says where compiled programs are kept; its cache directory is empty."""
    kept = jax.config.jax_compilation_cache_dir, jax.config.jax_enable_compilation_cache
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path / "caches"
    jax.config.update("jax_compilation_cache_dir", kept[0])
    jax.config.update("jax_enable_compilation_cache", kept[1])
    cache.compilation_cache.reset_cache()


def test_programs_are_kept_in_the_users_cache_directory(unset):
    folder = cache.use_compilation_cache()
    assert folder.is_relative_to(unset / "jaxmac" / "compiled")
    assert folder.stat().st_mode & 0o077 == 0, "a cache that others may write runs their code"
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert cache.use_compilation_cache() is None, "it is in use already"


def test_jaxs_own_options_go_before(unset, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    assert cache.use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    assert cache.use_compilation_cache() is None
    assert not jax.config.jax_compilation_cache_dir


def test_the_cache_can_be_left_out_for_a_while(unset):
    folder = cache.use_compilation_cache()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    with cache.without_compilation_cache():
        jax.jit(lambda x: x * 3 + 1).lower(1.0).compile()
    assert not list(folder.iterdir())
    jax.jit(lambda x: x * 3 + 1).lower(1.0).compile()
    assert list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_one_note(unset):
    unset.write_text("a file where the cache directory should be")
    with pytest.warns(RunNote, match=r"^compiled programs are not kept: .*: Not a directory$"):
        assert cache.use_compilation_cache() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.use_compilation_cache() is None
    assert jax.jit(lambda x: x + 1)(1) == 2


@pytest.mark.parametrize("caches", [Path("caches/of/nobody"), RuntimeError("a home that is not an absolute path")])
def test_a_user_without_a_home_trains_all_the_same(unset, monkeypatch, caches):
    def of_the_user(*_, **options):
        if isinstance(caches, Exception):
            raise caches
        return caches

    monkeypatch.setattr(cache.platformdirs, "user_cache_path", of_the_user)
    with pytest.warns(
        RunNote, match="^compiled programs are not kept: the user's cache directory: .* not an absolute path"
    ):
        assert cache.use_compilation_cache() is None


def test_the_programs_read_least_lately_go_first(tmp_path):
    for age, name in enumerate(["new", "old", "oldest"]):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(bytes(10))
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "something else").write_bytes(bytes(100))
    cache.prune(tmp_path, largest=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-cache", "old-cache", "something else"]


def test_damaged_entries_are_removed_and_noted_in_one_line_and_other_warnings_stay(unset):
    folder = cache.use_compilation_cache()
    whole = zlib.compress(b"another program of this name")
    for name, content in (("f-123", b""), ("f-456", whole), ("f-789", whole[:-1]), ("g-123", b"")):
        (folder / f"jit_{name}-cache").write_bytes(content)
    with pytest.warns() as caught, cache.trouble_in_a_line():
        warnings.warn(
            "Error reading persistent compilation cache entry for 'jit_f': ValueError: a\nb", stacklevel=1
        )
        warnings.warn("Error writing persistent compilation cache entry for 'jit_g': OSError: full", stacklevel=1)
        warnings.warn("something else", DeprecationWarning, stacklevel=1)
    texts = {(warning.category, str(warning.message)) for warning in caught}
    note = "a program was compiled anew: the cache of compiled programs could not be read (ValueError: a)"
    assert texts == {(RunNote, note), (DeprecationWarning, "something else")}
    assert sorted(path.name for path in folder.iterdir()) == ["jit_f-456-cache", "jit_g-123-cache"]


def test_old_programs_that_cannot_be_removed_stop_nothing(unset, monkeypatch):
    def refuse(folder):
        raise PermissionError("of another user")

    monkeypatch.setattr(cache, "prune", refuse)
    assert cache.use_compilation_cache() == Path(jax.config.jax_compilation_cache_dir)


def command(home, *flags, run="run"):
    """Train for a moment in a process of its own; returns the text on stderr and the names of the kept programs."""
    removed = ("JAX_COMPILATION_CACHE_DIR",)
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment |= {"XDG_CACHE_HOME": str(home), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    out = Path(home).parent / run
    words = [
        sys.executable,
        "-m",
        "jaxmac",
        "train",
        *SMALL,
        "--episodes",
        "16",
        "--out",
        str(out),
        "--overwrite",
        *flags,
    ]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stderr, {path for path in Path(home).rglob("*-cache") if path.is_file()}


@pytest.mark.slow
def test_a_second_process_reads_what_the_first_has_compiled_and_mends_what_is_damaged(tmp_path):
    home = tmp_path / "caches"
    assert command(home, "--no-compilation-cache")[1] == set()
    _, kept = command(home)
    assert any(path.name.startswith("jit_advance") for path in kept)
    assert command(home)[1] == kept, "the second process compiled something else"
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    notes, mended = command(home)
    assert notes.count("could not be read") == 1
    assert "Traceback" not in notes
    assert command(home)[0].count("could not be read") == 0
    assert mended <= kept


@pytest.mark.slow
def test_two_processes_fill_the_same_cache(tmp_path):
    home = tmp_path / "caches"
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda run: command(home, run=run), ("a", "b")))
    assert all("could not be" not in notes for notes, _ in runs)
    assert "could not be" not in command(home)[0]
