"""The words on a command line: names of other libraries, wrong values and the two ways to give a switch."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro
from support.commands import refused

from jaxmac.algorithms import ALGORITHMS, configure
from jaxmac.cli.parsing import parse
from jaxmac.cli.train import _train_class
from jaxmac.config import settings_of
from jaxmac.envs import make
from jaxmac.errors import SYNONYMS, nearest


@dataclasses.dataclass(frozen=True)
class Inner:
    random_init: bool = False
    penalty: float | None = None


@dataclasses.dataclass(frozen=True)
class Words:
    """Options of all kinds."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    devices: int | None = None
    gamma: float = 0.9
    counts: tuple[int, ...] = ()
    best: bool = False
    greedy: bool | None = None
    what: Literal["all", "some"] = "all"
    learning_rate: float = 0.1
    log: str = ""
    inner: Inner = dataclasses.field(default_factory=Inner)


@pytest.fixture
def nothing_compiles(monkeypatch):
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))


def all_settings():
    """Every setting of every algorithm with the parts that its presets choose."""
    env = make("BoxPushing-4")
    configs = [configure(name, preset, env, {}) for name, spec in ALGORITHMS.items() for preset in spec.presets]
    return {setting for config in configs for setting in settings_of(type(config))}


def test_every_synonym_leads_to_a_name_that_exists():
    options = {field.name for field in dataclasses.fields(_train_class("avf-vdn", "BoxPushing-4", "tuned", {})[0])}
    known = all_settings() | options | {"seed"}  # eval and render have one seed
    for word, targets in SYNONYMS.items():
        assert (word not in known or word in ("seed", "seeds")) and set(targets) <= known, word
        assert word == word.lower() and "-" not in word


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--lr", "--learning-rate"),
        ("--LR", "--learning-rate"),
        ("--hidden_dim", "--hidden-size"),
        ("--hidden-dim", "--hidden-size"),
        ("--rnn-hidden-dim", "--hidden-size"),
        ("--total-timesteps", "--episodes"),
        ("--TOTAL_TIMESTEPS=1e6", "--episodes"),
        ("--n-envs", "--num-envs"),
        ("--seed", "--seeds"),
        ("--buffer-size", "--replay-episodes"),
        ("--discount", "--gamma"),
        ("--mixer", "--algorithm"),
        ("--q_lr", "--learning-rate"),
        ("--sample_batch_size", "--batch-size"),
        ("--add-agent-id", "--share-parameters"),
        ("--num_evaluation", "--eval-every"),
    ],
)
def test_a_name_of_another_library_leads_to_ours(flag, meant, nothing_compiles, capsys):
    error = refused(capsys, "train", flag, "3")
    assert (
        error
        == f"jaxmac: error: unknown option '{flag.partition('=')[0]}' of `jaxmac train`; did you mean {meant}?\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--double-q", "maybe"], "--double-q is 'maybe', but must be True or False (`jaxmac train --help`)"),
        (["--no-double-q", "maybe"], "'maybe' belongs to no option of `jaxmac train`; `jaxmac train --help` lists"),
        (["avf-qmix"], "'avf-qmix' belongs to no option of `jaxmac train`"),
        (["--zzz"], "unknown option '--zzz' of `jaxmac train`; `jaxmac train --help` lists those it has"),
    ],
)
def test_a_word_that_nothing_takes_is_told_without_a_list_of_all_options(words, says, nothing_compiles, capsys):
    error = refused(capsys, "train", *words)
    assert says in error and len(error) < 140


def test_an_option_is_suggested_by_the_name_that_it_has(capsys):
    """`--from` is the argument `iteration` of Python; RUN is no option."""
    error = refused(capsys, "resume", "runs/x", "--fron", "3")
    assert error == "jaxmac: error: unknown option '--fron' of `jaxmac resume`; did you mean --from or --process?\n"
    assert "--from is 'x', but must be an integer" in refused(capsys, "resume", "runs/x", "--from", "x")


@pytest.mark.parametrize("flag", ["--algorithm", "--env", "--preset"])
def test_an_option_is_not_the_value_of_the_one_before(flag, nothing_compiles, capsys):
    assert f"{flag} needs a value: a string" in refused(capsys, "train", flag, "--seeds", "2")


def test_an_actor_critic_has_two_learning_rates(nothing_compiles, capsys):
    error = refused(capsys, "train", "--algorithm", "mac-iac", "--lr", "3")
    assert "did you mean --actor-learning-rate or --critic-learning-rate?" in error


def test_names_of_ours_keep_their_meaning(nothing_compiles, capsys):
    """gamma, batch-size and num-envs are the same words here."""
    assert "gamma is 7.0, but must be" in refused(capsys, "train", "--gamma", "7")
    assert "num_envs is 0, but must be" in refused(capsys, "train", "--num-envs", "0")
    assert nearest("lr", ["learning_rate", "log"]) == "did you mean learning_rate?"
    assert nearest("lr", ["log"]) == "known: log"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices", "two"], "--devices is 'two', but must be an integer"),
        (["--devices=2.5"], "--devices is '2.5', but must be an integer"),
        (["--gamma", "high"], "--gamma is 'high', but must be a number"),
        (["--what", "none"], "--what is 'none', but must be one of 'all', 'some'"),
        (["--greedy=maybe"], "--greedy is 'maybe', but must be True or False"),
        (["--best="], "--best is '', but must be True or False"),
        (["--best=perhaps"], "--best is 'perhaps', but must be True or False"),
        (["--inner.penalty", "x"], "--inner.penalty is 'x', but must be a number"),
        (["--counts", "1", "x"], "--counts is 'x', but must be an integer"),
        (["--gamma"], "--gamma needs a value: a number"),
        (["--gamma", "--best"], "--gamma needs a value: a number"),
    ],
)
def test_a_wrong_value_is_one_clause(words, message):
    with pytest.raises(ValueError) as refusal:
        parse("words", Words, words)
    assert str(refusal.value) == f"{message} (`jaxmac words --help`)"


@pytest.mark.parametrize(
    ("words", "best", "greedy", "random_init"),
    [
        (["--best"], True, None, False),
        (["--no-best"], False, None, False),
        (["--best", "True", "--greedy", "False"], True, False, False),
        (["--best=False", "--greedy=True"], False, True, False),
        (["--best", "false", "--greedy", "true"], False, True, False),
        (["--greedy", "--best"], True, True, False),
        (["--no-greedy"], False, False, False),
        (["--inner.random-init"], False, None, True),
        (["--inner.random-init", "True"], False, None, True),
        (["--inner.random_init=False"], False, None, False),
        (["--inner.no-random-init"], False, None, False),
        (["--best", "a_run"], True, None, False),
        (["--no-best", "--best=True"], True, None, False),
    ],
)
def test_a_switch_takes_three_forms(words, best, greedy, random_init):
    parsed = parse("words", Words, words)
    assert (parsed.best, parsed.greedy, parsed.inner.random_init) == (best, greedy, random_init)
    assert parsed.run == (Path("a_run") if "a_run" in words else None)


def test_negative_numbers_and_texts_are_values():
    parsed = parse("words", Words, ["--inner.penalty", "-5", "--gamma", "-1e-3", "--log", "True"])
    assert (parsed.inner.penalty, parsed.gamma, parsed.log) == (-5.0, -1e-3, "True")


def test_an_option_may_be_left_open_by_name():
    assert parse("words", Words, ["--devices", "None", "--greedy=None"]).devices is None
    assert parse("words", Words, ["--greedy", "None", "a_run"]).greedy is None
    with pytest.raises(ValueError, match=r"^--gamma is 'x'"):
        parse("words", Words, ["--devices", "None", "--gamma", "x"])


@pytest.mark.parametrize("env", ["BoxPushing-11", "BoxPushin-10", "Nothing", "CaptureTarget-99"])
def test_an_unknown_environment_names_the_command_that_lists_them(env, nothing_compiles, capsys):
    for command in ("train", "list", "render"):
        assert "`jaxmac list --envs`" in refused(capsys, command, "--env", env)
