"""Which of many similar cases `make test` runs; the others are marked slow and run in `make test-all`."""

import re

import pytest

from jaxmac import envs


def slow_except(quick, cases):
    """The cases as parameters of a test, those that are not in `quick` marked slow."""
    quick, cases = list(quick), list(cases)
    assert all(case in cases for case in quick), "a quick case that is none of the cases"
    return [case if case in quick else _slow(case) for case in cases]


def _slow(case):
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)


def representative_ids():
    """The listed ids. Of those that differ in a number or a variant alone only the first is quick."""
    alike = {}
    for env_id in envs.list_ids():
        alike.setdefault(re.sub(r"-.*?(-primitive)?$", r"\1", env_id), []).append(env_id)
    return slow_except([ids[0] for ids in alike.values()], envs.list_ids())
