"""Unfinished runs: plotted and compared as far as they go, with a note; sweeps that stopped between groups."""

import csv
import io
import json

import numpy as np
import pytest
from support.commands import refused
from support.made_runs import EVALUATIONS, made

import jaxmac
from jaxmac.cli.main import main
from jaxmac.cli.train import report_result

SWEEP = {"batch_size": [4, 8]}  # two groups of two members


def stopped(out, evaluations, **options):
    """A run that was interrupted: `evaluations` gives the number of rows of each member."""
    made(out, seeds=2, **options)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"status": "interrupted"}))
    header, *rows = csv.reader(io.StringIO((out / "metrics.csv").read_text()))
    kept, seen = [header], dict.fromkeys(range(len(evaluations)), 0)
    for row in rows:
        seen[int(row[0])] += 1
        if seen[int(row[0])] <= evaluations[int(row[0])]:
            kept.append(row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(kept)
    (out / "metrics.csv").write_text(text.getvalue())
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfinished")
    made(folder / "whole", seeds=2)
    return {
        "whole": folder / "whole",
        "first": stopped(folder / "first", [1, 1], level=50.0),
        "none": stopped(folder / "none", [0, 0], level=40.0),
        "sweep": stopped(folder / "sweep", [EVALUATIONS, EVALUATIONS, 0, 0], sweep=SWEEP, level=30.0),
        "later": stopped(folder / "later", [EVALUATIONS, EVALUATIONS, 1, 1], sweep=SWEEP, level=20.0),
    }


def test_a_group_goes_as_far_as_it_was_trained(runs):
    """The first group was cut to the evaluations of the second one."""
    metrics = jaxmac.load(runs["later"]).metrics
    assert np.isfinite(metrics["episodes"]).sum(axis=0).tolist() == [EVALUATIONS, EVALUATIONS, 1, 1]
    assert metrics["batch_size"].tolist() == [[4, 4, 8, 8]] * EVALUATIONS
    metrics = jaxmac.load(runs["sweep"]).metrics
    assert np.isfinite(metrics["eval_return"]).sum(axis=0).tolist() == [EVALUATIONS, EVALUATIONS, 0, 0]


@pytest.mark.parametrize("suffix", [pytest.param(".svg", marks=pytest.mark.slow), ".html", ".json"])
def test_unfinished_runs_are_plotted_with_a_note(runs, suffix, tmp_path, capsys):
    out = tmp_path / f"x{suffix}"
    assert main(["plot", *map(str, runs.values()), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n" and out.stat().st_size > 500
    assert printed.err.splitlines() == [
        f"jaxmac: note: {runs['first']} is not finished (interrupted): plotted up to 0 of 1456 episodes",
        f"jaxmac: note: {runs['none']} has no evaluation yet: it is left out",
        f"jaxmac: note: {runs['sweep']} is not finished (interrupted): plotted up to 0 to 1456 of 1456 episodes",
        f"jaxmac: note: {runs['later']} is not finished (interrupted): plotted up to 0 to 1456 of 1456 episodes",
    ]


def test_a_page_says_how_far_each_run_got(runs, tmp_path):
    page = tmp_path / "x.html"
    assert main(["plot", str(runs["sweep"]), "--out", str(page)]) == 0
    text = page.read_text()
    assert "<td>0 to 1,456</td>" in text and ">nan" not in text


def test_a_run_with_its_first_row_alone_shows_a_point(runs):
    figure = jaxmac.load(runs["first"]).plot()
    (mean,) = [line for line in figure.axes[0].lines if line.get_label().startswith("avf-qmix")]
    assert mean.get_xydata().shape == (1, 2) and mean.get_marker() == "o"


def test_nothing_to_plot_is_an_error(runs, tmp_path, capsys):
    assert main(["plot", str(runs["none"]), "--out", str(tmp_path / "x.png")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == f"jaxmac: error: nothing to plot: {runs['none']} has no evaluation yet"
    (tmp_path / "other").mkdir()
    given = ["plot", str(runs["whole"]), str(tmp_path / "other"), "--out", str(tmp_path / "x.png")]
    assert "is not a run directory" in refused(capsys, *given)
    assert not (tmp_path / "x.png").exists()


def test_final_returns_are_those_of_the_evaluations_there_were(runs):
    whole, later = jaxmac.load(runs["whole"]), jaxmac.load(runs["later"])
    rows = jaxmac.compare([whole, later])["final"]
    assert [row["members"] for row in rows] == [2, 2, 2]
    expected = [later.metrics["eval_return"][-10:, :2].mean(), later.metrics["eval_return"][0, 2:].mean()]
    assert [row["mean"] for row in rows[1:]] == pytest.approx(expected)


def test_what_is_printed_after_an_interrupted_sweep(runs, capsys):
    result = jaxmac.load(runs["sweep"])
    report_result(result, runs["sweep"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("mean of the last ten evaluations (optimum 99.6): ") and first.endswith(", -, -")
    assert "nan" not in first and second.startswith("metrics ")
    report_result(jaxmac.load(runs["none"], need_rows=False), runs["none"])
    assert capsys.readouterr().out == ""
