"""`overwrite` replaces a run of jaxmac, once the new one can start, and nothing else."""

import json
import shutil

import pytest
from support.runs import tiny

from jaxmac.errors import RunDirectoryError
from jaxmac.runs import directory as directories
from jaxmac.runs.directory import RunDirectory
from jaxmac.training.program import Program


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("overwriting") / "run"
    tiny(out)
    return out


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def files_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "content", ['{"compilerOptions": {}}', "[]", "null", "3", "{not json", '{"format": "x"}', "\udcff"]
)
def test_another_project_s_files_are_not_replaced(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    (tmp_path / "checkpoints" / "group_0" / "7").mkdir(parents=True)
    (tmp_path / "checkpoints" / "group_0" / "7" / "weights").write_text("mine")
    before = files_of(tmp_path)
    with pytest.raises(RunDirectoryError, match="holds no run of jaxmac that could be replaced") as error:
        tiny(tmp_path, overwrite=True)
    assert "\n" not in str(error.value)
    assert files_of(tmp_path) == before


def test_only_files_of_the_run_are_removed(run):
    mine = ["notes.txt", "checkpoints/mine.txt", "checkpoints/group_0/mine/a", "tensorboard/events", "wandb/latest"]
    for name in mine:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    (run / "timeline.png").write_text("of the old run")
    tiny(run, overwrite=True, episodes=12)
    assert not (run / "timeline.png").exists()
    assert all((run / name).read_text() == name for name in mine)
    assert sorted(p.name for p in (run / "checkpoints" / "group_0").iterdir()) == ["3", "mine"]
    assert json.loads((run / "config.json").read_text())["episodes"] == 12


def test_the_old_run_stays_until_the_new_one_can_start(run, monkeypatch):
    before = files_of(run)
    usage = directories.shutil.disk_usage(run)
    with monkeypatch.context() as patch:
        patch.setattr(directories.shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(RunDirectoryError, match="MB needed"):
            tiny(run, overwrite=True)
    assert files_of(run) == before

    def fails(program):
        raise MemoryError("the compiled program does not fit")

    monkeypatch.setattr(Program, "compile", fails)
    with pytest.raises(MemoryError, match="does not fit"):
        tiny(run, overwrite=True)
    assert files_of(run) == before


def test_a_run_that_cannot_start_leaves_no_directory(tmp_path, monkeypatch):
    usage = directories.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(directories.shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(RunDirectoryError, match="MB needed"):
            tiny(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_next_run_starts_where_a_kill_left_a_draft(tmp_path):
    for name in ("config.json.part", "metrics.csv.part", "run.lock"):
        (tmp_path / name).write_text('{"forma')
    tiny(tmp_path, episodes=12)
    assert json.loads((tmp_path / "config.json").read_text())["status"] == "finished"
    assert not (tmp_path / "run.lock").exists()


def test_a_failed_write_of_the_config_leaves_the_one_before(run, monkeypatch):
    before = files_of(run)
    monkeypatch.setattr(directories.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(OSError, match="No space"):
        RunDirectory(run).write_config({"format": 3})
    assert files_of(run) == before
