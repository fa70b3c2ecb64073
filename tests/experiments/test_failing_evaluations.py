"""Evaluations that fail after a seed's first good one are counted, of seeds that have one."""

import re
import sys

import pytest

from experiments import failing_evaluations


def test_only_what_follows_the_first_good_evaluation_counts():
    seeds = [[-5, 10, 9, 10], [10, 10], [1, 2, 3], [0, 0, 10]]
    assert failing_evaluations.failing(seeds, 10) == (3, 3, 1)


def test_a_line_for_a_stored_cell(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--env", "Overcooked-B", "--algorithm", "AVF-QMIX"])
    failing_evaluations.main()
    line = r"AVF-QMIX on Overcooked-B: [1-8] of 8 seeds pass, then \d+ of \d+ fail\n"
    assert re.fullmatch(line, capsys.readouterr().out)


def test_a_cell_that_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="no result of AVF-QMIX on Overcooked-B in commit no-such-commit"):
        failing_evaluations.stored("Overcooked-B", "AVF-QMIX", "no-such-commit")
    monkeypatch.setattr(failing_evaluations, "RESULTS", tmp_path)
    with pytest.raises(SystemExit, match="no result of AVF-VDN on Overcooked-B is stored"):
        failing_evaluations.stored("Overcooked-B", "AVF-VDN", None)
