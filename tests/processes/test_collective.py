"""Errors and arguments of several processes, whose exchange of texts is replaced by a function."""

import json

import pytest

from jaxmac.processes import collective


def one_of_several(monkeypatch, exchange):
    """Let this process be one of several; `exchange` maps its text to those of all processes."""
    monkeypatch.setattr(collective, "is_distributed", lambda: True)
    monkeypatch.setattr(collective, "exchange", exchange)


def test_an_error_of_another_process_is_raised_here_too(monkeypatch):
    one_of_several(monkeypatch, lambda own: [own, "", json.dumps(["OSError", "no run directory"])])
    with pytest.raises(OSError, match=r"^process 2: no run directory$") as caught, collective.raise_on_all():
        pass
    assert collective.is_shared(caught.value)
    sent = []
    one_of_several(monkeypatch, lambda own: sent.append(own) or [own, ""])
    with pytest.raises(ValueError, match=r"^mine$") as caught, collective.raise_on_all():
        raise ValueError("mine")
    assert json.loads(sent[0]) == ["ValueError", "mine"] and collective.is_shared(caught.value)
    with pytest.raises(KeyError) as caught, collective.raise_on_all():
        raise KeyError("not passed on to the other processes")
    assert len(sent) == 1 and not collective.is_shared(caught.value)
    assert collective.is_shared(None)


def test_different_arguments_are_named(monkeypatch):
    there = {"seeds": [0, 1], "settings": {"gamma": 0.9, "num_envs": 4}}
    one_of_several(monkeypatch, lambda own: [own, own, json.dumps(there)])
    collective.refuse_differences(there)
    with pytest.raises(ValueError, match=r"process 2 was given other .*: settings.gamma=0.9 \(process 0: 0.5\)$"):
        collective.refuse_differences({"seeds": [0, 1], "settings": {"gamma": 0.5, "num_envs": 4}})
