"""The table of random play: every listed environment is in it, and measuring again gives what it says."""

import pytest

import jaxmac
from experiments import random_play as script
from experiments.baselines import COMPARED, returns
from jaxmac import envs
from jaxmac.analysis import random_play


def test_every_listed_environment_is_in_the_table():
    assert list(random_play.RETURNS) == [name for name in envs.list_ids() if name in random_play.RETURNS]
    families = ("BoxPushing", "Warehouse", "CaptureTarget", "Overcooked")
    assert {name for name in envs.list_ids() if name.startswith(families)} == set(random_play.RETURNS)


def test_measuring_again_gives_what_the_table_says():
    env = jaxmac.make("CaptureTarget-2")
    assert returns(env, "random", COMPARED)[0] == pytest.approx(random_play.RETURNS["CaptureTarget-2"], abs=2e-3)


def test_the_table_is_replaced_and_nothing_else(tmp_path, monkeypatch):
    copy = tmp_path / "random_play.py"
    text = script.Path(random_play.__file__).read_text()
    copy.write_text(text)
    monkeypatch.setattr(random_play, "__file__", str(copy))
    script.write(random_play.RETURNS)
    assert copy.read_text() == text
    script.write({"BoxPushing-4": -1.5})
    assert '= {\n    "BoxPushing-4": -1.5,\n}\n\n\ndef random_return' in copy.read_text()
