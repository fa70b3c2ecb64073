"""config.json and metrics.csv are checked at the door: what is wrong is one line with run, file and place."""

import csv
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from conftest import GOLDEN
from support.commands import refused
from support.made_runs import made
from support.runs import tiny

import jaxmac
from jaxmac.runs.directory import COLUMNS, RunDirectory, RunDirectoryError
from jaxmac.training.session import TrainingError


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """A finished run of four members: two seeds, two discounts, 14 evaluations."""
    out = tmp_path_factory.mktemp("schema") / "run"
    made(out, seeds=2, sweep={"gamma": [0.9, 0.95]}, batch_size=8, env_options={"horizon": 20})
    return out


@pytest.fixture
def run(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "run")


@pytest.fixture(autouse=True)
def jax_has_started(monkeypatch):
    monkeypatch.setattr("jaxmac.cli.resume.use_cpu_devices", lambda count: None)


def configured(run, **fields):
    config = json.loads((run / "config.json").read_text()) | fields
    (run / "config.json").write_text(
        json.dumps({name: value for name, value in config.items() if value is not ...})
    )
    return run


def problem(run, **options):
    """The one line that says why a run cannot be opened, without the file's name."""
    with pytest.raises(RunDirectoryError) as caught:
        jaxmac.load(run, **options)
    said = str(caught.value)
    assert "\n" not in said and str(run) in said
    return said.removeprefix(str(run))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "/config.json is damaged: it holds [], but must hold an object"),
        ("null", "/config.json is damaged: it holds null, but must hold an object"),
        ("{}", "/config.json is damaged: it lacks the field format"),
        ('{"format": 2}', "it lacks the field status"),
        ('{"format": "2"}', 'format is "2", but must be one of 1, 2, 3, 4, 5, 6, 7'),
        ('{"format": 8}', "has format 8, this jaxmac reads up to 7: upgrade it"),
        ('{"a": 1, "a": 2}', "it has a twice"),
        ('{"a": NaN}', "NaN is not a number of JSON"),
        ("[" * 100_000, "it is nested too deeply"),
        ("", "/config.json is damaged: Expecting value"),
        (b"\xff{}", "it is not UTF-8 text (byte 0)"),
        (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM"),
    ],
)
def test_a_config_that_is_none(run, text, message):
    (run / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in problem(run)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": ...}, "it lacks the field seeds"),
        ({"episodes": ..., "status": ...}, "it lacks the field status (and 1 more such faults)"),
        ({"seeds": "ab"}, 'seeds is "ab", but must be a valid list'),
        ({"seeds": [0, "1"]}, 'seeds[1] is "1", but must be a valid integer'),
        ({"seeds": [True, 2]}, "seeds[0] is true, but must be a valid integer"),
        ({"seeds": [3, 3]}, "seeds is [3, 3] and has a value twice"),
        ({"seeds": [-1, 0]}, "seeds[0] is -1, but must be greater than or equal to 0"),
        ({"seeds": [0]}, "line 3: seed is 1, but member 1 has seed 0"),
        ({"episodes": 0}, "episodes is 0, but must be greater than or equal to 1"),
        ({"episodes": "1456"}, 'episodes is "1456", but must be a valid integer'),
        ({"sweep": {"gamma": []}}, "sweep.gamma is []"),
        ({"sweep": {"gamma": [0.9, 0.9]}}, "sweep.gamma is [0.9, 0.9] and has a value twice"),
        ({"sweep": {}}, "/metrics.csv is damaged: it has the unknown column 'gamma'"),
        ({"sweep": {"gamma": [0.9, 0.94]}}, "line 4: gamma is '0.95', but member 2 has 0.94 in config.json"),
        ({"status": "done"}, 'status is "done", but must be '),
        ({"finished": ...}, "it lacks the field finished"),
        ({"sedes": [0]}, "it has the unknown field sedes; did you mean seeds"),
        ({"env_sizes": {"num_actions": [4, 4]}}, "it lacks the field env_sizes.obs_sizes"),
        ({"env": "BoxPushing-5"}, "/config.json: unknown environment 'BoxPushing-5'"),
        ({"env": "CaptureTarget-2", "env_options": {}}, "/config.json: env_sizes are "),
        (
            {"env_options": {"horizn": 20}},
            "/config.json: BoxPushing-4 has no option 'horizn' (did you mean horizon?)",
        ),
        ({"env_options": {}}, "env_settings.horizon is 20, but BoxPushing-4 with these env_options has 100"),
        ({"env_options": [1]}, "env_options is [1], but must be a valid dictionary"),
        ({"algorithm": "avf-qmx"}, "/config.json: unknown algorithm 'avf-qmx'; did you mean avf-qmix"),
        ({"hyperparameters": {"batch_size": "8"}}, "hyperparameters has batch_size='8', but settings 8"),
        ({"log": ["tensorboard"]}, "log and log_id belong together"),
    ],
)
def test_a_field_of_the_config_that_is_wrong(run, fields, message):
    assert message in problem(configured(run, **fields))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", ..., "/config.json: settings lacks batch_size, which avf-qmix reads"),
        ("normalise_state", ..., "/config.json: settings lacks normalise_state, which avf-qmix reads"),
        ("batch_size", 8.0, "/config.json: batch_size is 8.0, but must be an integer"),
        ("batch_size", None, "settings.batch_size is null, but must be a number, a text, true or false"),
        ("gamma", "0.9", "/config.json: gamma is '0.9', but must be a finite number"),
        ("memory", "gruu", "/config.json: memory='gruu': unknown memory; did you mean gru"),
        ("hidden_size", -1, "/config.json: hidden_size is -1, but must be >= 1"),
    ],
)
def test_a_setting_that_is_missing_or_wrong(run, name, value, message):
    settings = json.loads((run / "config.json").read_text())["settings"] | {name: value}
    settings = {name: value for name, value in settings.items() if value is not ...}
    assert message in problem(configured(run, settings=settings))


def rows_of(run):
    return list(csv.reader(io.StringIO((run / "metrics.csv").read_text())))


def with_cell(line, column, cell):
    def edit(rows):
        rows[line - 1][rows[0].index(column)] = cell

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (with_cell(5, "member", "9"), "line 5: member is 9, but config.json has members 0 to 3"),
        (with_cell(5, "member", "-1"), "line 5: member is '-1', but must be an integer of at least 0"),
        (with_cell(5, "seed", "7"), "line 5: seed is 7, but member 3 has seed 1 in config.json"),
        (with_cell(9, "episodes", "112.0"), "line 9: episodes is '112.0', but must be an integer"),
        (with_cell(6, "env_steps", ""), "line 6: env_steps is empty, but must be an integer"),
        (with_cell(6, "eval_return", "abc"), "line 6: eval_return is 'abc', but must be a number"),
        (with_cell(6, "eval_return", ""), "line 6: eval_return is empty, but must be a number"),
        (with_cell(6, "eval_length", "inf"), "line 6: eval_length is 'inf', but must be a finite number"),
        (with_cell(6, "wall_seconds", "1_0"), "line 6: wall_seconds is '1_0', but must be a finite number"),
        (with_cell(6, "train_return", ""), "line 6: train_return is empty"),
        (with_cell(6, "epsilon", ""), "line 6: epsilon is empty, but was '0' before"),
        (with_cell(6, "gamma", "0.5"), "line 6: gamma is '0.5', but member 0 has 0.9 in config.json"),
        (lambda rows: rows[3].pop(), "line 4: it has 13 cells, but must have 14"),
        (lambda rows: rows[3].append("1"), "line 4: it has 15 cells, but must have 14"),
        (lambda rows: rows.pop(6), "line 10: member 1 lacks its row at 112 episodes"),
        (lambda rows: rows.pop(1), "line 5: member 0 lacks its row at 0 episodes"),
        (lambda rows: rows.pop(), "member 3 lacks its last row, at 1456 episodes"),
        (lambda rows: rows.insert(9, rows[8]), "line 10: member 3 is at 112 episodes, but was at 112 before"),
        (
            lambda rows: rows.append(["3", "1", "1568", *rows[-1][3:]]),
            "but must be a multiple of num_envs=16",
        ),
        (lambda rows: [row.pop(4) for row in rows], "it lacks the column updates"),
        (lambda rows: [row.append("x") for row in rows], "it has the unknown column 'x'"),
        (lambda rows: [row.reverse() for row in rows], "its columns are not member,seed"),
        (lambda rows: rows.clear(), "it has no header"),
    ],
)
def test_rows_that_are_wrong(run, edit, message):
    rows = rows_of(run)
    edit(rows)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    (run / "metrics.csv").write_text(text.getvalue())
    said = problem(run)
    assert said.startswith("/metrics.csv is damaged: ") and message in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "begins with a byte order mark"),
        (lambda data: data.replace(b",", b";"), "its cells are separated by semicolons"),
        (lambda data: data[:300] + b"\xff" + data[300:], "line 6 is no UTF-8 text"),
        (lambda data: data.decode().encode("utf-16"), "is no UTF-8 text"),
        (lambda data: b"some notes\n", "it lacks the column member"),
        (lambda data: data.replace(b"\n", b'\n"', 1), "line "),
    ],
)
def test_a_table_that_is_none(run, change, message):
    (run / "metrics.csv").write_bytes(change((run / "metrics.csv").read_bytes()))
    said = problem(run)
    assert said.startswith("/metrics.csv is damaged: ") and message in said


def test_line_ends_of_other_systems_and_quotes_mean_the_same(run, intact):
    before = jaxmac.load(intact).metrics
    for change in (lambda text: text.replace("\n", "\r\n"), lambda text: text.replace("0.9,", '"0.9",')):
        (run / "metrics.csv").write_bytes(change((intact / "metrics.csv").read_text()).encode())
        for name, values in jaxmac.load(run).metrics.items():
            np.testing.assert_array_equal(values, before[name])


def test_a_row_counts_once_its_line_end_is_there(run, intact):
    """A number that was cut short is no number, and a whole row without its line end does not count yet."""
    configured(run, status="interrupted")
    text = (intact / "metrics.csv").read_text()
    for cut in (1, 5, 20):
        (run / "metrics.csv").write_text(text[:-cut])
        assert jaxmac.load(run).metrics["episodes"][:, 3].tolist() == [112 * e for e in range(13)]
    configured(run, status="finished")
    assert "member 3 lacks its last row, at 1456 episodes" in problem(run)


def test_members_may_differ_in_their_rows_while_a_run_is_written(run, intact):
    """A reader between two rows of an evaluation sees the evaluations that are whole."""
    lines = (intact / "metrics.csv").read_text().splitlines(keepends=True)
    configured(run, status="running")
    (run / "metrics.csv").write_text("".join(lines[:-2]))
    assert jaxmac.load(run).metrics["episodes"].shape == (13, 4)
    (run / "metrics.csv").write_text("".join([*lines[:-8], *lines[-8:-6]]))
    assert jaxmac.load(run).metrics["episodes"].shape == (12, 4)
    (run / "metrics.csv").write_text("".join([line for line in lines if line[0] != "3"]))
    assert "metrics.csv is damaged: member 3 has 0 evaluations, another one of its group 14" in problem(run)
    (run / "metrics.csv").write_text(lines[0][:7])
    with pytest.raises(RunDirectoryError, match="has no evaluation yet"):
        jaxmac.load(run)
    assert jaxmac.load(run, need_rows=False).metrics["episodes"].shape == (0, 4)


def test_every_command_that_opens_a_run_comes_through_the_door(run, capsys, tmp_path):
    (run / "metrics.csv").write_text((run / "metrics.csv").read_text().replace("\n2,", "\n9,", 1))
    before = {file: file.read_bytes() for file in run.iterdir()}
    for command in ("resume", "eval", "render", "plot", "export"):
        assert f"{run}/metrics.csv is damaged: line 4: member is 9" in refused(capsys, command, str(run))
    configured(run, settings=[])
    for command in ("resume", "eval", "render", "plot", "export"):
        assert f"{run}/config.json is damaged: settings is []" in refused(capsys, command, str(run))
    assert {file: file.read_bytes() for file in run.iterdir()} == before | {
        run / "config.json": (run / "config.json").read_bytes()
    }


def test_what_is_no_folder_is_no_run(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    for command in ("resume", "eval", "render", "plot", "export"):
        said = refused(capsys, command, str(tmp_path / "notes.txt"))
        assert f"{tmp_path / 'notes.txt'} is a file, not a run directory" in said


def test_an_unknown_environment_of_a_run_names_the_run(run, capsys):
    configured(run, env="NoSuch-3")
    for command in ("resume", "eval", "plot"):
        assert f"{run}/config.json: unknown environment 'NoSuch-3'" in refused(capsys, command, str(run))


@pytest.mark.filterwarnings("ignore::jaxmac.errors.RunNote")
def test_runs_of_format_1_are_held_to_their_schema(tmp_path):
    run = tmp_path / "run"
    with zipfile.ZipFile(GOLDEN / "run_format_1.zip") as archive:
        for name in ("config.json", "metrics.csv"):
            archive.extract(name, run)
    assert jaxmac.load(run).metrics["loss"].shape == (3, 2)
    settings = json.loads((run / "config.json").read_text())["settings"]
    configured(run, settings={name: value for name, value in settings.items() if name != "batch_size"})
    assert "settings lacks batch_size" in problem(run)
    configured(run, settings=settings | {"sampling": "episodds"})
    assert "/config.json: sampling='episodds': unknown sampler" in problem(run)
    configured(run, settings=settings, seeds=[3])
    assert "line 3: member is 1, but config.json has members 0 to 0" in problem(run)


@pytest.mark.filterwarnings("ignore::jaxmac.errors.RunNote")
def test_swept_settings_of_format_1_get_todays_names_when_the_run_goes_on(tmp_path):
    run = tmp_path / "run"
    made(run, "mac-iac", seeds=1, sweep={"episodes_per_env": [1, 2]})
    config = json.loads((run / "config.json").read_text())
    settings = {"rounds" if name == "episodes_per_env" else name: x for name, x in config["settings"].items()}
    configured(run, format=1, plugins=..., settings=settings, sweep={"rounds": [1, 2]})
    table = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_text(table.replace("episodes_per_env", "rounds"))
    before = jaxmac.load(run)
    assert before.metrics["episodes_per_env"][0].tolist() == [1, 2]
    with RunDirectory(run) as directory:
        kept = directory.reopen(before.config, {0: 10**6, 1: 10**6})
    assert len(kept) == before.metrics["episodes"].size and (run / "metrics.csv").read_text() == table
    assert jaxmac.load(run).specs == before.specs


def test_a_table_that_was_deleted_is_not_made_again_without_its_header(tmp_path):
    with RunDirectory(tmp_path / "run") as directory:
        directory.claim(overwrite=False, needed_bytes=0)
        directory.begin({})
        (tmp_path / "run" / "metrics.csv").unlink()
        with pytest.raises(RunDirectoryError, match=r"^cannot write .*metrics.csv: it was deleted while the"):
            directory.append([dict.fromkeys(COLUMNS, 1.0)])
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_a_number_that_is_none_is_told_from_one_that_does_not_apply(tmp_path):
    """The loss of a run that breaks is nan, not empty: a kill may come before its status says so."""
    nan = float("nan")
    with RunDirectory(tmp_path / "run") as directory:
        directory.claim(overwrite=False, needed_bytes=0)
        directory.begin({})
        for episodes, updates in ((0, 0), (8, 0), (16, 4)):
            row = dict.fromkeys(COLUMNS, nan) | {"member": 0, "episodes": episodes, "updates": updates}
            directory.append([row])
    rows = rows_of(tmp_path / "run")
    assert [dict(zip(rows[0], row, strict=True))["loss"] for row in rows[1:]] == ["", "", "nan"]
    assert [dict(zip(rows[0], row, strict=True))["train_return"] for row in rows[1:]] == ["", "nan", "nan"]
    assert {dict(zip(rows[0], row, strict=True))["eval_return"] for row in rows[1:]} == {"nan"}


@pytest.mark.slow
def test_a_table_that_is_deleted_while_the_run_goes_on_ends_it(tmp_path, monkeypatch):
    """It is not made again without its header."""
    out, append = tmp_path / "run", RunDirectory.append

    def deleted(directory, rows):
        if rows[0]["episodes"] > 0:
            (out / "metrics.csv").unlink()
        append(directory, rows)

    monkeypatch.setattr(RunDirectory, "append", deleted)
    with pytest.raises(TrainingError, match=r"cannot write .*metrics.csv: it was deleted while the run"):
        tiny(out)
    assert not (out / "metrics.csv").exists()
    assert json.loads((out / "config.json").read_text())["status"] == "failed"


def test_an_environment_of_another_name_is_refused_though_its_sizes_are_the_same(tmp_path):
    made(tmp_path / "run")  # on BoxPushing-4
    with pytest.raises(ValueError, match="was trained on BoxPushing-4, but env= is BoxPushing-6"):
        jaxmac.load(tmp_path / "run", env=jaxmac.make("BoxPushing-6"))
