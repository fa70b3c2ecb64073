"""Where commands may write: checked before anything is drawn, and never over what a run owns."""

import contextlib
import hashlib
import shutil
from types import SimpleNamespace

import pytest
from support.commands import refused
from support.made_runs import made
from support.probes import Asynchronous

import jaxmac
from jaxmac.arguments import may_be_replaced
from jaxmac.cli.main import main
from jaxmac.cli.train import report_result
from jaxmac.runs.outputs import PICTURES, output_file, refuse_owned
from jaxmac.runs.result import Result
from jaxmac.runs.rows import COLUMNS


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    out = tmp_path_factory.mktemp("outputs") / "run"
    made(out, seeds=2)
    (out / "checkpoints" / "group_0").mkdir(parents=True)
    (out / "curve.png").write_bytes(b"a curve")
    (out / "episode.gif").write_bytes(b"an episode")
    return out


@pytest.fixture
def run(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "run")


@pytest.fixture
def nothing_drawn(monkeypatch):
    monkeypatch.setattr("jaxmac.cli.plot.learning_curves", lambda *arguments: pytest.fail("drawn"))
    monkeypatch.setattr("jaxmac.evaluation.report.html_report", lambda *arguments: pytest.fail("drawn"))
    monkeypatch.setattr("jaxmac.evaluation.marl_eval.marl_eval_data", lambda *arguments: pytest.fail("made"))
    monkeypatch.setattr("jaxmac.analysis.animation.play", lambda *arguments: pytest.fail("played"))
    monkeypatch.setattr(Result, "policy", lambda *arguments: pytest.fail("read"))


def contents(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


OWNED = [
    ("plot", "config.json"),
    ("plot", "Config.JSON"),
    ("plot", "checkpoints/x.png"),
    ("plot", "checkpoints/group_0/x.html"),
    ("plot", "tensorboard/x.png"),
    ("plot", "wandb/x.json"),
    ("plot", "checkpoints/curve.png"),
    ("render", "checkpoints/episode.gif"),
    ("render", "tensorboard/x.gif"),
    ("export", "checkpoints"),
    ("export", "checkpoints/policy"),
    ("export", "run.lock"),
    ("export", "config.json.part"),
    ("export", "curve.png"),
    ("export", "wandb"),
]


@pytest.mark.parametrize(("command", "name"), OWNED)
def test_what_a_run_owns_is_not_written_over(command, name, run, nothing_drawn, capsys):
    before = contents(run)
    said = refused(capsys, command, str(run), "--out", str(run / name))
    assert f"belongs to the run {run}; choose another name" in said and contents(run) == before


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "run.lock", "config.json.part", "curve.png"])
def test_owned_names_by_other_ways(name, run, tmp_path):
    (tmp_path / "link").symlink_to(run / name)
    for path in (run / name, run / "sub" / ".." / name, tmp_path / "link"):
        with pytest.raises(OSError, match="belongs to the run"):
            refuse_owned(path)
    refuse_owned(run / "curve.png", writes=("curve.png",))
    refuse_owned(run / "figures" / "config.json")  # not the run's own
    refuse_owned(tmp_path / name)  # beside the run, not inside


def test_results_refuse_owned_names_in_python(run, nothing_drawn):
    result = jaxmac.load(run)
    for write in (
        lambda: result.plot(run / "config.json"),
        lambda: result.render(0, run / "checkpoints" / "x.gif"),
        lambda: jaxmac.export_policy(result, 0, run / "checkpoints"),
    ):
        with pytest.raises(OSError, match="belongs to the run"):
            write()


def test_what_is_written_for_a_run_stays_allowed(run, monkeypatch):
    monkeypatch.setattr("jaxmac.cli.plot.learning_curves", lambda panels, out, *rest: out.write_bytes(b"new"))
    monkeypatch.setattr("jaxmac.runs.result.animate", lambda env, policy, seed, path: path)
    monkeypatch.setattr(Result, "policy", lambda *arguments: None)
    assert main(["plot", str(run), "--out", str(run / "curve.png")]) == 0
    assert main(["plot", str(run), "--out", str(run / "figures" / "mine.svg")]) == 0
    assert (run / "curve.png").read_bytes() == (run / "figures" / "mine.svg").read_bytes() == b"new"
    assert main(["render", str(run)]) == main(["render", str(run), "--out", str(run / "mine.gif")]) == 0
    assert jaxmac.load(run).render(0, run / "episode.gif") == run / "episode.gif"


def test_a_runs_own_picture_that_is_half_written_is_drawn_anew(run, monkeypatch):
    monkeypatch.setattr(Result, "policy", lambda *arguments: jaxmac.random_policy())
    result = jaxmac.load(run)
    pictures = [run / name for name in PICTURES]
    for path in pictures:
        path.write_bytes(b"\0" * 100)
    result.plot(pictures[0])
    result.render(0, pictures[1])
    result.timeline(0, pictures[2])
    assert all(may_be_replaced(path) and path.stat().st_size > 1000 for path in pictures)


def test_best_is_a_switch(run):
    for draw in (jaxmac.load(run).timeline, jaxmac.load(run).render, jaxmac.load(run).policy):
        with pytest.raises(ValueError, match="best is 'no', but must be True or False"):
            draw(best="no")


def test_a_page_takes_the_place_of_a_page(run, tmp_path):
    for _ in range(2):
        assert main(["plot", str(run), "--out", str(tmp_path / "page.html")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["plot", "RUN", "--out", "x.mp4"],
            "x.mp4 must end with one of .png",
        ),
        (["plot", "RUN", "--out", "x"], "its suffix selects the format"),
        (["render", "RUN", "--out", "x.mp4"], "x.mp4 must end with one of .gif"),
        (
            ["render", "--env", "BoxPushing-4", "--out", "x.png"],
            "x.png must end with one of .gif: its suffix selects the format",
        ),
        (["plot", "RUN", "--out", "notes.txt/x.png"], "cannot write notes.txt/x.png: notes.txt is a file"),
        (["render", "RUN", "--out", "notes.txt/a/x.gif"], "notes.txt is a file, not a folder"),
        (["export", "RUN", "--out", "notes.txt/policy"], "notes.txt is a file, not a folder"),
        (["export", "RUN", "--out", "notes.txt"], "notes.txt is a file, not a directory"),
        (["plot", "RUN", "--out", "folder.png"], "folder.png is a folder: give the name of a file"),
        (["bench", "--out", "notes.txt"], "--out notes.txt is a file, not a folder"),
        (["plot", "RUN", "--out", "mine.json"], "--out mine.json holds something that `jaxmac plot` did not write"),
        (["plot", "RUN", "--out", "mine.html"], "mine.html holds something that jaxmac does not know"),
        (["render", "RUN", "--out", "mine.gif"], "mine.gif holds something that jaxmac does not know"),
        (
            ["render", "--env", "BoxPushing-4", "--policy", "random", "--timeline"],
            "random_timeline.png holds something",
        ),
        (["plot", "RUN", "--out", "OTHER/curve.png"], "curve.png belongs to the run"),
        (["plot", "RUN", "--out"], "--out needs a value: a path"),
        (["export", "--out", "x"], "give a run directory"),
    ],
)
def test_what_cannot_be_written_is_said_before_drawing(
    arguments, message, run, nothing_drawn, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxmac.bench.run._split_cpu", lambda devices: None)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine.json").write_text('{"mine": 1}')
    mine = [tmp_path / name for name in ("mine.html", "mine.gif", "boxpushing_4_random_timeline.png")]
    for path in mine:
        path.write_text("<p>mine</p>")
    (tmp_path / "folder.png").mkdir()
    other = shutil.copytree(run, tmp_path / "other")
    words = (word.replace("RUN", str(run)).replace("OTHER", str(other)) for word in arguments)
    assert message in refused(capsys, *words)
    assert {path.read_text() for path in mine} == {"<p>mine</p>"}
    assert (tmp_path / "notes.txt").read_text() == "mine" and (tmp_path / "mine.json").read_text() == '{"mine": 1}'


def test_a_folder_that_is_missing_is_made(tmp_path):
    path = output_file(tmp_path / "a" / "b" / "x.png", (".png",))
    assert path.parent.is_dir() and not path.exists()


def test_an_animation_that_is_no_gif_is_refused_before_it_is_played(monkeypatch):
    monkeypatch.setattr("jaxmac.analysis.animation.play", lambda *arguments: pytest.fail("played"))
    with pytest.raises(ValueError, match=r"^x.mp4 must end with one of .gif: its suffix selects the format$"):
        jaxmac.animate(jaxmac.make("BoxPushing-4"), jaxmac.random_policy(), path="x.mp4")
    with pytest.raises(ValueError, match=r"^seed is -1, but must be"):
        jaxmac.animate(jaxmac.make("BoxPushing-4"), jaxmac.random_policy(), seed=-1)


@pytest.mark.parametrize(("finals", "best"), [([-5.0, 0.0], 1), ([None, -3.0], 1), ([2.0, 2.0], 0)])
def test_the_best_member_is_animated(finals, best, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("jaxmac.cli.train._final_returns", lambda result: finals)
    monkeypatch.setattr("jaxmac.cli.train._averaged", lambda result: "all")
    env = SimpleNamespace(optimal_return=None)
    report_result(SimpleNamespace(status="finished", env=env, render=lambda member, path: path), tmp_path)
    assert capsys.readouterr().out.endswith(f"episode.gif (member {best})\n")


def test_a_result_that_cannot_be_drawn_is_no_error(monkeypatch, capsys, tmp_path):
    def render(member, path):
        raise ValueError("Mine has no drawing")

    monkeypatch.setattr("jaxmac.cli.train._final_returns", lambda result: [1.0])
    monkeypatch.setattr("jaxmac.cli.train._averaged", lambda result: "all")
    env = SimpleNamespace(optimal_return=None)
    report_result(SimpleNamespace(status="finished", env=env, render=render), tmp_path)
    assert capsys.readouterr().out.endswith("no animation: Mine has no drawing\n")


def test_an_environment_without_a_drawing_is_named():
    env = Asynchronous()
    with pytest.raises(ValueError, match=r"^Asynchronous has no drawing: Asynchronous does not define draw"):
        jaxmac.animate(env, jaxmac.random_policy())


@pytest.mark.parametrize(
    ("config", "metrics", "owned"),
    [
        ('{"name": "app"}', "a,b\n", False),
        ('{"format": 5, "algorithm": "x"}', "a,b\n", True),
        ('{"form', ",".join(COLUMNS) + ",gamma\n", True),  # a damaged run
        ("{}", ",".join(COLUMNS) + "\n", True),
    ],
)
def test_a_folder_of_another_project_is_no_run(tmp_path, config, metrics, owned):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "metrics.csv").write_text(metrics)
    with pytest.raises(OSError, match="belongs to the run") if owned else contextlib.nullcontext():
        refuse_owned(tmp_path / "checkpoints" / "run1" / "curve.png")
