"""Every team of the zoo earns what the index says; what is asked for by name is found or refused in one line."""

import json
import shutil
import warnings

import pytest

import jaxmac
from experiments import make_zoo
from experiments.make_zoo import EPISODES
from jaxmac.cli.main import main
from jaxmac.errors import RunNote
from jaxmac.export import policy_by_name, zoo
from jaxmac.export.zoo import zoo_index

TEAMS = [team for teams in zoo_index().values() for team in teams]
QUICK = {"BoxPushing-14"}


@pytest.mark.parametrize(
    "team",
    [
        pytest.param(
            team,
            id=f"{team['env']}-{team['algorithm']}",
            marks=() if team["env"] in QUICK else pytest.mark.slow,
        )
        for team in TEAMS
    ],
)
def test_a_team_earns_its_recorded_return(team):
    env = jaxmac.make(team["env"], **team["env_options"])
    episodes = EPISODES if team["env"].startswith("Capture") else 16  # elsewhere greedy play is always the same
    played = jaxmac.evaluate_policy(env, policy_by_name(f"zoo:{team['algorithm']}", env), episodes, seed=0)
    assert played["mean"] == pytest.approx(team["return"], rel=0.002)


def with_unlike_flags():
    """Of the teams whose commands have the same flags the first one; all but one, which is enough, are slow."""
    of_flags = {}
    for team in TEAMS:
        of_flags.setdefault(tuple(word for word in team["command"].split() if word.startswith("--")), team)
    marks = [(), *[pytest.mark.slow] * (len(of_flags) - 1)]
    named = sorted(of_flags.values(), key=lambda team: -len(team["command"]))
    return [
        pytest.param(team, id=f"{team['env']}-{team['algorithm']}", marks=mark)
        for team, mark in zip(named, marks, strict=True)
    ]


@pytest.mark.parametrize("team", with_unlike_flags())
def test_the_command_of_a_team_is_understood(team, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program, *words = team["command"].split()
    assert program == "jaxmac" and main([*words, "--dry-run", "--devices", "1"]) == 0
    assert f"seeds {team['seed']}" in " ".join(capsys.readouterr().out.split())


def test_the_index_is_sorted_and_small():
    for teams in zoo_index().values():
        returns = [team["return"] for team in teams]
        assert returns == sorted(returns, reverse=True)
    files = [path for path in zoo.ZOO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    folders = {path.parent.parent.relative_to(zoo.ZOO).as_posix() for path in files if path.name == "policy.json"}
    assert folders == {team["folder"] for team in TEAMS}


def test_render_and_eval_take_the_zoo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", "--env", "BoxPushing-14", "--policy", "zoo"]) == 0
    assert (tmp_path / "boxpushing_14_zoo.gif").read_bytes()[:4] == b"GIF8"
    capsys.readouterr()
    assert main(["eval", "--env", "BoxPushing-14", "--policy", "zoo", "--episodes", "8", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["mean"] == pytest.approx(98.3, abs=0.5) and row["policy"].startswith("avf-qmix, seed ")


@pytest.mark.slow
@pytest.mark.parametrize("env", zoo_index())
def test_a_team_of_every_task_is_drawn(env, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    team = zoo_index()[env][0]
    options = [
        word for name, value in team["env_options"].items() for word in (f"--env-options.{name}", str(value))
    ]
    assert main(["render", "--env", env, *options, "--policy", "zoo", "--out", "x.gif"]) == 0
    assert main(["render", "--env", env, *options, "--policy", "zoo", "--timeline", "--out", "x.png"]) == 0
    assert (tmp_path / "x.gif").read_bytes()[:4] == b"GIF8" and (tmp_path / "x.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("env", "policy", "message"),
    [
        (
            "BoxPushing-14",
            "zo",
            "unknown policy 'zo'; did you mean zoo?",
        ),
        ("BoxPushing-14", "zoo:avf-qmi", "the zoo has no 'avf-qmi' for BoxPushing-14; did you mean avf-qmix?"),
        ("BoxPushing-14", "zoo:", "the zoo has no '' for BoxPushing-14; known: avf-qmix"),
        ("BoxPushing-4", "zoo", "the zoo has no team for BoxPushing-4"),
    ],
)
def test_what_is_unknown_is_refused(env, policy, message):
    with pytest.raises(ValueError, match="zo") as caught:
        policy_by_name(policy, jaxmac.make(env))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_team_whose_environment_has_changed_is_refused():
    with pytest.raises(ValueError, match=r"trained on BoxPushing-14 with agents 2; .* has 3"):
        policy_by_name("zoo", jaxmac.make("BoxPushing-14", num_agents=3))


@pytest.mark.slow
def test_a_better_team_replaces_a_worse_one_only(tmp_path, monkeypatch):
    for module in (zoo, make_zoo):
        monkeypatch.setattr(module, "ZOO", tmp_path / "zoo")
    (tmp_path / "zoo").mkdir()
    settings = {"episodes": 48, "num_envs": 8, "eval_every": 16, "eval_episodes": 4, "learning_starts": 16}
    settings |= {"batch_size": 4, "replay_episodes": 64, "hidden_size": 8, "progress": False}
    jaxmac.train("avf-vdn", "BoxPushing-4", seeds=2, out=tmp_path / "run", **settings)
    first = make_zoo.add(tmp_path / "run")
    assert first["folder"] == "box_pushing_4/avf-vdn" and "--seeds " in first["command"]
    assert make_zoo.read()["BoxPushing-4"] == [first]
    monkeypatch.setattr(make_zoo, "evaluated", lambda *_: first["return"] - 1)
    assert make_zoo.add(tmp_path / "run") == first
    monkeypatch.setattr(make_zoo, "evaluated", lambda *_: first["return"] + 1)
    assert make_zoo.add(tmp_path / "run")["return"] == first["return"] + 1
    assert not (tmp_path / "zoo/draft").exists()


def test_a_team_under_other_options_comes_with_a_note():
    with pytest.warns(RunNote, match="team for BoxPushing-14 was trained with horizon=100$"):
        policy_by_name("zoo", jaxmac.make("BoxPushing-14", horizon=200))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RunNote)
        policy_by_name("zoo", jaxmac.make("BoxPushing-14"))


def test_the_note_has_the_flags_that_give_a_team_its_task(monkeypatch):
    with pytest.warns(RunNote, match=r"with horizon=300, .*: --env-options.preset neurips22 gives its task$"):
        policy_by_name("zoo", jaxmac.make("Warehouse-Q"))


def test_a_team_is_noted_whose_task_has_other_options_by_now(tmp_path, monkeypatch):
    """As if the default of an option had changed since the team was trained: the index has no word of it."""
    shutil.copytree(zoo.ZOO, tmp_path / "zoo")
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    for path in (tmp_path / "zoo/box_pushing_14").rglob("policy.json"):
        about = json.loads(path.read_text())
        about["environment"]["options"]["penalty"] = -3.0
        path.write_text(json.dumps(about))
    with pytest.warns(RunNote, match=r"team for BoxPushing-14 was trained with penalty=-3.0$"):
        policy_by_name("zoo", jaxmac.make("BoxPushing-14"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"BoxPushing-14": [{"fol', "Unterminated string"),
        (
            '{"BoxPushing-14": [{"env": "BoxPushing-14"}]}',
            "a team lacks env_options, algorithm, seed, ",
        ),
        ('{"BoxPushing-14": []}', "list index out of range"),
        ('{"BoxPushing-14": 3}', "object is not subscriptable"),
    ],
)
def test_a_damaged_index_is_named(text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    (tmp_path / "index.json").write_text(text)
    assert main(["render", "--env", "BoxPushing-14", "--policy", "zoo"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{tmp_path / 'index.json'} is damaged: " in told and message in told


@pytest.mark.parametrize("first", ["tomacvf-qmix", pytest.param("avf-qmix", marks=pytest.mark.slow)])
def test_agents_of_different_algorithms_play_together(tmp_path, first):
    """The hidden state of one advances at every step, that of the other at its decisions."""
    env = jaxmac.make("BoxPushing-10")
    second = {"tomacvf-qmix": "avf-qmix", "avf-qmix": "tomacvf-qmix"}[first]
    for agent, algorithm in enumerate((first, second)):
        found = next(team for team in zoo_index()["BoxPushing-10"] if team["algorithm"] == algorithm)
        shutil.copytree(zoo.ZOO / found["folder"] / f"agent_{agent}", tmp_path / f"agent_{agent}")
    assert jaxmac.evaluate_policy(env, jaxmac.load_policy(tmp_path, env), 2)["mean"] > 90
