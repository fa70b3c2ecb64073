"""TensorBoard and Weights & Biases: what arrives there, what is refused before anything is written, resume."""

import csv
import json
import shutil
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support.commands import SMALL, refused
from support.registries import registered_only_here
from support.runs import ENV, as_if_killed, tiny

import jaxmac
from jaxmac.algorithms.diagnostics import VALUE_BASED
from jaxmac.runs import sinks
from jaxmac.runs.directory import COLUMNS, RunDirectory
from jaxmac.runs.rows import as_values
from jaxmac.training.session import TrainingError

METRICS = (*COLUMNS[3:], *VALUE_BASED)


def events(folder):
    """Events of all files of a member: framed as length, checksum, data, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def scalars(folder):
    """(tag, step) -> value, and whether any came twice."""
    found = [(v.tag, e.step, v.simple_value) for e in events(folder) for v in e.summary.value if v.tag in METRICS]
    table = {(tag, step): value for tag, step, value in found}
    assert len(table) == len(found)
    return table


def written(run, member):
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["member"]) == member]
    return {(name, int(row["episodes"])): float(row[name]) for row in rows for name in METRICS if row[name]}


def same(run, member):
    shown, known = scalars(run / "tensorboard" / f"member_{member:03d}"), written(run, member)
    assert shown == pytest.approx(known, rel=1e-5)
    return shown


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Two seeds, the program of `test_resume`."""
    out = tmp_path_factory.mktemp("logged") / "run"
    tiny(out, log="tensorboard")
    return out


def test_event_files_hold_what_the_csv_holds_for_each_member(logged):
    found = [same(logged, member) for member in range(2)]
    assert {step for _, step in found[0]} == {0, 12, 24, 36, 48}
    assert ("loss", 0) not in found[0] and ("loss", 48) in found[0]  # nothing learned yet: no value
    assert found[0]["loss", 48] != found[1]["loss", 48]
    summaries = [events(logged / "tensorboard" / f"member_{m:03d}")[1].summary.value[0] for m in range(2)]
    texts = [value.tensor.string_val[0].decode() for value in summaries]
    assert '"seed": 0' in texts[0] and '"seed": 1' in texts[1] and '"algorithm": "avf-vdn"' in texts[1]
    config = json.loads((logged / "config.json").read_text())
    assert config["log"] == ["tensorboard"]


def test_a_resumed_run_has_every_row_once(logged, tmp_path):
    shutil.copytree(logged, tmp_path / "run")
    as_if_killed(tmp_path / "run", 9)
    before = [scalars(logged / "tensorboard" / f"member_{member:03d}") for member in range(2)]
    jaxmac.resume(tmp_path / "run", env=ENV, progress=False)
    for member in range(2):
        after = same(tmp_path / "run", member)
        clock = {key for key in after if key[0] == "wall_seconds"}
        assert after.keys() == before[member].keys()
        for key in after.keys() - clock:  # rows that stay are read from the CSV, which has seven digits
            assert after[key] == pytest.approx(before[member][key], rel=1e-6)


def test_overwriting_a_run_leaves_no_old_events(logged, tmp_path):
    shutil.copytree(logged, tmp_path / "run")
    folder = tmp_path / "run" / "tensorboard"
    latest, lost = folder / "latest", folder / "lost"  # as Weights & Biases has one, to the newest log
    for link in (latest, lost):
        link.symlink_to(folder / "member_001")
    with RunDirectory(tmp_path / "run") as directory:
        directory.claim(overwrite=True, needed_bytes=0)
        assert folder.exists()
        fresh = folder / "member_000" / "of the new run"
        fresh.write_text("opened before the old run is removed")
        latest.unlink()
        latest.symlink_to(fresh)
        directory.begin({})
    left = {path for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    assert left == {fresh, latest} and not (folder / "member_001").exists()


@pytest.fixture
def keyless(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


def test_what_cannot_be_logged_to_is_refused_before_anything_is_written(keyless, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    out = tmp_path / "run"
    train = ["train", *SMALL, "--episodes", "8", "--out", str(out), "--log"]
    assert "unknown log 'tensorbord'; did you mean tensorboard?" in refused(capsys, *train, "tensorbord")
    assert "known: tensorboard, wandb (metrics.csv is always" in refused(capsys, *train, "tensorboard,xyz")
    error = refused(capsys, *train, "tensorboard,wandb")
    assert "no key for api.wandb.ai" in error and "wandb login" in error and "WANDB_MODE=offline" in error
    with pytest.raises(ValueError, match=r"log=tensorboard needs a run directory: pass out="):
        jaxmac.train("avf-vdn", "BoxPushing-4", log=("tensorboard",))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'jaxmac[tensorboard]'" in refused(capsys, *train, "tensorboard")
    assert not out.exists()


def test_a_key_may_be_in_the_environment_or_in_netrc_and_offline_needs_none(keyless, monkeypatch):
    keyless.write_text("machine elsewhere login user password secret\n")
    with pytest.raises(ValueError, match="no key"):
        sinks.sink_names("wandb")
    keyless.write_text("machine api.wandb.ai login user password secret\n")
    assert sinks.sink_names(" wandb, tensorboard,wandb") == ["wandb", "tensorboard"]
    keyless.unlink()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert sinks.sink_names(["wandb"]) == ["wandb"]
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert sinks.sink_names(["wandb"]) == ["wandb"]
    assert sinks.sink_names("") == sinks.sink_names(()) == []


def test_wandb_has_a_run_per_member_that_a_resumed_run_finds_again(tmp_path, monkeypatch):
    opened, logs, finished = [], [], []

    class Run:
        def __init__(self, **settings):
            opened.append(settings)
            self.id = settings["id"]

        def log(self, values, step):
            logs.append((self.id, step, values))

        def finish(self):
            finished.append(self.id)

    stub = SimpleNamespace(init=Run, Settings=dict, errors=SimpleNamespace(Error=RuntimeError))
    monkeypatch.setitem(sys.modules, "wandb", stub)
    names = ("algorithm", "env", "env_options", "preset", "episodes", "versions", "settings")
    config = {key: {} for key in names} | {
        "log": ["wandb"],
        "log_id": sinks.new_log_id(),
        "settings": {"gamma": 0.1},
        "diagnostics": list(VALUE_BASED),
    }
    members = [{"seed": 3, "gamma": 0.9}, {"seed": 4, "gamma": 0.9}]
    row = dict.fromkeys((*COLUMNS, *VALUE_BASED), 1.5) | {"member": 1, "episodes": 8, "loss": float("nan")}
    for fresh in (row, {name: str(value).replace("nan", "") for name, value in row.items()}):  # from the CSV
        (sink,) = sinks.open_sinks(tmp_path, config, members)
        sink.write(fresh)
        sink.close()
    assert logs[0] == logs[1] == (opened[1]["id"], 8, {name: 1.5 for name in METRICS if name != "loss"})
    assert [settings["id"] for settings in opened] == finished and opened[:2] == opened[2:]
    assert opened[0]["id"] != opened[1]["id"] and opened[0]["group"] == opened[1]["group"]
    assert opened[1]["config"]["gamma"] == 0.9 and opened[1]["config"]["seed"] == 4
    assert sinks.new_log_id() != config["log_id"]

    def broken(**settings):
        raise RuntimeError("the key is\nwrong")

    stub.init = broken
    with pytest.raises(OSError, match="Weights & Biases: the key is wrong"):
        list(sinks.open_sinks(tmp_path, config, members))


def records(file):
    """Records of a .wandb file: after a header of 7 bytes LevelDB's log format, blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, whole = file.read_bytes(), 7, b""
    while position < len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(whole)
            whole = b""


@pytest.mark.slow
def test_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    out = tmp_path / "run"
    tiny(out, log=["wandb"])
    files = sorted((out / "wandb").glob("offline-run-*/*.wandb"), key=lambda file: file.name)
    log_id = json.loads((out / "config.json").read_text())["log_id"]
    assert [file.name for file in files] == [f"run-{log_id}-{member:03d}.wandb" for member in range(2)]
    for member, file in enumerate(files):
        found, settings = {}, {}
        for record in records(file):
            settings |= {item.key: item.value_json for item in record.run.config.update}
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            found |= {(name, items["_step"]): value for name, value in items.items() if name in METRICS}
        assert found == pytest.approx(written(out, member), rel=1e-5)
        assert settings["seed"] == str(member) and settings["algorithm"] == '"avf-vdn"'


@pytest.fixture
def registered():
    """Sinks that a test registers are removed afterwards."""
    with registered_only_here():
        yield


def test_a_registered_sink_gets_every_row_of_metrics_csv(registered, tmp_path):
    class Rows:
        def __init__(self, path, config, members):
            self.path, self.rows, self.name = path, [], f"{config['algorithm']} x {len(members)}"

        def write(self, row):
            self.rows.append([row["member"], row["episodes"], row["eval_return"]])

        def close(self):
            (self.path / "rows.json").write_text(json.dumps([self.name, self.rows]))

    sinks.register_sink("rows", Rows)
    tiny(tmp_path / "run", log="rows")
    name, rows = json.loads((tmp_path / "run" / "rows.json").read_text())
    with (tmp_path / "run" / "metrics.csv").open() as file:
        expected = [[int(row["member"]), int(row["episodes"])] for row in csv.DictReader(file)]
    assert name == "avf-vdn x 2" and [row[:2] for row in rows] == expected
    assert all(isinstance(row[2], float) for row in rows)


def test_sinks_of_the_wrong_kind_are_refused(registered, tmp_path):
    with pytest.raises(ValueError, match=r"^log 'wandb' is registered already"):
        sinks.register_sink("wandb", print)
    with pytest.raises(ValueError, match=r"^log 'none' is None, but must be a class or function"):
        sinks.register_sink("none", None)
    sinks.register_sink("list", lambda path, config, members: [])
    with pytest.raises(ValueError, match=r"^log 'list' made a list, but must make an object with write"):
        list(sinks.open_sinks(tmp_path, {"log": ["list"]}, []))
    with pytest.raises(ValueError, match=r"^log 'two': its factory is called with \(path, config, me"):
        sinks.register_sink("two", lambda path, config: [])
    with pytest.raises(ValueError, match="log 'checked' must have a function as check"):
        sinks.register_sink("checked", print, check=3)
    sinks.register_sink("missing", print, package="no_such_package")
    with pytest.raises(ValueError, match=r"^log=missing needs the package no_such_package"):
        sinks.sink_names("missing")


@pytest.fixture
def closed(registered):
    """The sinks "first" and "second", which cannot be opened; a list that grows when the first one closes."""
    notes = []

    class First:
        def __init__(self, path, config, members):
            pass

        def write(self, row):
            pass

        def close(self):
            notes.append(True)

    def second(path, config, members):
        raise OSError("nobody answers")

    sinks.register_sink("first", First)
    sinks.register_sink("second", second)
    return notes


def test_a_sink_that_cannot_be_opened_does_not_cost_the_run_that_would_be_replaced(closed, tmp_path):
    tiny(tmp_path, episodes=12)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(TrainingError, match=r"^log 'second' raised OSError: nobody answers$"):
        tiny(tmp_path, episodes=12, overwrite=True, log="first,second")
    assert closed == [True]
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_sink_that_cannot_be_opened_closes_the_others_and_ends_the_run(closed, tmp_path):
    with pytest.raises(TrainingError, match="nobody answers"):
        tiny(tmp_path / "run", log="first,second")
    assert closed == [True] and json.loads((tmp_path / "run" / "config.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("fault", ["write", "close"])
@pytest.mark.parametrize("kind", [KeyError, ConnectionError])
def test_a_sink_harms_neither_the_run_nor_the_other_sinks(fault, kind, closed, tmp_path):
    """It may change the rows that it gets; what it raises names it, and at the end it is a note."""

    class Careless:
        def __init__(self, path, config, members):
            pass

        def write(self, row):
            row.clear()
            if fault == "write":
                raise kind("episodes\nline 2")

        def close(self):
            raise kind("file")

    sinks.register_sink("careless", Careless)
    if fault == "write":
        with pytest.raises(TrainingError, match=rf"^log 'careless' raised {kind.__name__}: .?episodes.*$"):
            tiny(tmp_path / "run", log="careless,first")
    else:
        result = tiny(tmp_path / "run", log="careless,first")
        assert result.status == "finished" and np.isfinite(result.metrics["eval_return"]).all()
    assert closed == [True]


def test_rows_that_are_read_back_have_the_types_of_new_ones():
    row = dict.fromkeys(COLUMNS, "1.5") | {"member": "1", "episodes": "8", "loss": "", "gamma": "0.9"}
    row |= dict.fromkeys(("seed", "env_steps", "updates"), "3")
    found = as_values(row, [{}, {"seed": 3, "gamma": 0.9}])
    assert (found["member"], found["episodes"], found["eval_return"], found["gamma"]) == (1, 8, 1.5, 0.9)
    assert type(found["updates"]) is int and np.isnan(found["loss"])
