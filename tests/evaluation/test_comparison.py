"""Runs beside each other: labels, tables, the page and the data for marl-eval, from made-up metrics."""

import dataclasses
import inspect
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from support.commands import refused
from support.made_runs import EVALUATIONS, made

import jaxmac
from jaxmac.analysis import random_return, statistics
from jaxmac.analysis.returns import final_returns
from jaxmac.cli.main import main
from jaxmac.errors import RunNote
from jaxmac.evaluation import comparison
from jaxmac.evaluation.marl_eval import marl_eval_data
from jaxmac.evaluation.report import html_report


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two algorithms on two tasks."""
    folder = tmp_path_factory.mktemp("compared")
    return [
        made(folder / "qmix4", level=90.0),
        made(folder / "qplex4", "avf-qplex", level=99.0, gamma=0.9),
        made(folder / "qmix6", env="BoxPushing-6", level=60.0),
        made(folder / "qplex6", "avf-qplex", env="BoxPushing-6", level=70.0),
    ]


def test_final_rows_are_those_of_the_last_ten_evaluations(runs):
    compared = jaxmac.compare(runs)
    final = {(row["task"], row["label"]): row for row in compared["final"]}
    assert list(final)[:4] == [(t, a) for t in ("BoxPushing-4", "BoxPushing-6") for a in ("avf-qmix", "avf-qplex")]
    row, scores = final["BoxPushing-4", "avf-qmix"], final_returns(runs[0].metrics["eval_return"])
    assert row["members"] == 4 and row["best_known"] == runs[0].env.optimal_return
    assert (row["mean"], row["iqm"]) == pytest.approx((scores.mean(), np.sort(scores)[1:3].mean()))
    assert row["mean_low"] < row["mean"] < row["mean_high"] and row["iqm_low"] <= row["iqm"] <= row["iqm_high"]
    assert row["gap"] == pytest.approx(np.maximum(1 - scores / row["best_known"], 0).mean())
    assert row["solved"] == int((scores >= 0.95 * row["best_known"]).sum()) == 0
    assert final["BoxPushing-4", "avf-qplex"]["solved"] == 4
    assert jaxmac.compare(runs, solved=0.5)["final"][2]["solved"] == 4
    whole = final[comparison.ALL_TASKS, "avf-qmix"]
    shares = np.concatenate(
        [final_returns(r.metrics["eval_return"]) / r.env.optimal_return for r in (runs[0], runs[2])]
    )
    assert whole["members"] == 8 and whole["mean"] == pytest.approx(shares.mean()) and whole["best_known"] == 1.0
    assert jaxmac.compare([run.path for run in runs])["final"][0]["mean"] == pytest.approx(row["mean"])


def test_improvement_rows_hold_every_ordered_pair(runs):
    pairs = {(r["task"], r["label"], r["over"]): r for r in jaxmac.compare(runs)["improvement"]}
    assert len(pairs) == 3 * 2
    found = pairs["BoxPushing-4", "avf-qplex", "avf-qmix"]
    assert (found["probability"], found["low"], found["high"]) == (1.0, 1.0, 1.0)
    assert pairs["BoxPushing-4", "avf-qmix", "avf-qplex"]["probability"] == 0.0
    ours, theirs = ([final_returns(runs[i].metrics["eval_return"])] for i in (3, 2))
    expected = statistics.probability_of_improvement(ours, theirs)
    assert pairs["BoxPushing-6", "avf-qplex", "avf-qmix"]["probability"] == expected.value


def test_only_settings_that_differ_are_listed(runs):
    rows = {row["setting"]: row["values"] for row in comparison.differences(runs[:2])}
    assert rows["gamma"][1] == 0.9 != rows["gamma"][0] and rows["algorithm"] == ["avf-qmix", "avf-qplex"]
    assert "num_envs" not in rows and "seeds" not in rows and "env" not in rows
    assert comparison.differences(runs[:1] * 2) == []
    other = comparison.differences([runs[0], runs[2]])
    assert ["BoxPushing-4", "BoxPushing-6"] in [row["values"] for row in other]


def test_settings_that_an_older_format_does_not_have_are_no_difference(runs, tmp_path):
    old = made(tmp_path / "old")
    for name in ("eval_target", "weight_floor"):
        del old.config["settings"][name]
    assert comparison.differences([old, made(tmp_path / "new")]) == []


def test_settings_of_parts_that_only_later_members_have_are_compared(tmp_path):
    sweep = {"sampling": ["uniform", "tournament"]}
    one, other = (made(tmp_path / env, env=env, seeds=1, sweep=sweep) for env in ("BoxPushing-10", "BoxPushing-20"))
    assert "replay_tournament" in [row["setting"] for row in comparison.differences([one, other])]


def test_labels_tell_curves_apart(runs, tmp_path):
    slow = made(tmp_path / "slow", level=20.0, learning_rate=1e-4)
    fast = made(tmp_path / "fast", level=30.0, learning_rate=1e-2)
    swept = made(tmp_path / "swept", seeds=2, sweep={"gamma": [0.5, 0.9]})
    wide = made(tmp_path / "wide", env_options={"horizon": 150})
    lines = comparison.gather([slow, fast, swept, runs[2], wide, wide])
    assert [(line.task, line.label) for line in lines] == [
        ("BoxPushing-4", "avf-qmix, learning_rate=0.0001"),
        ("BoxPushing-4", "avf-qmix, learning_rate=0.01"),
        ("BoxPushing-4", "avf-qmix, gamma=0.5"),
        ("BoxPushing-4", "avf-qmix, gamma=0.9"),
        ("BoxPushing-6", "avf-qmix"),
        ("BoxPushing-4 (horizon=150)", "avf-qmix (wide) #1"),
        ("BoxPushing-4 (horizon=150)", "avf-qmix (wide) #2"),
    ]
    explicit = made(tmp_path / "explicit", env_options={"horizon": 100})  # what it is anyway
    assert comparison.gather([explicit])[0].task == "BoxPushing-4"
    panels = comparison.panels(lines)
    assert [panel.title for panel in panels] == ["BoxPushing-4", "BoxPushing-6", "BoxPushing-4 (horizon=150)"]
    assert panels[1].optimum == runs[2].env.optimal_return and len(panels[0].curves) == 4
    served = comparison.panels(comparison.gather([made(tmp_path / "salad", env="Overcooked-A", level=100.0)]))
    assert served[0].optimum is None and served[0].best == ("best known", pytest.approx(227.3))
    assert panels[1].anchors == {"random play": random_return(runs[2].env)}
    assert panels[2].anchors == {}, "with another horizon random play earns something else"


class Page(HTMLParser):
    """Balance, addresses and ids of a page, and the rows of its tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.rows, self.words = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [v for k, v in attributes.items() if k in ("src", "href", "xlink:href", "srcset", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open = self.open[:-1] if tag not in ("meta", "img") else self.open

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_the_page_needs_nothing_else_and_shows_everything(runs, tmp_path):
    name = 'run <b>"$x$" & y'
    odd = made(tmp_path / name, "mac-iaicc", level=80.0)
    odd.config["preset"] = "<i>own</i>"
    (odd.path / "episode.gif").write_bytes(b"GIF89a-made-up")
    text = html_report([*runs, odd], title="<script>alert(1)</script>")
    page = Page(text)
    assert page.open == [] and len(page.ids) == len(set(page.ids)) > 10
    assert all(address.startswith(("#", "data:image/gif;base64,")) for address in page.addresses)
    assert all(address[1:] in page.ids for address in page.addresses if address.startswith("#"))
    assert set(re.findall(r"url\(#(.*?)\)", text)) <= set(page.ids)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert (
        text.count("<script") == 1
        and "alert" not in text.split("<script>")[1]
        and "<b>" not in text
        and "<i>" not in text
        and name in page.words
    )
    assert sum(address.startswith("data:image/gif") for address in page.addresses) == 1
    assert "#000000" not in text and "prefers-color-scheme: dark" in text
    # Curves, final returns and profile of two tasks, and the profile of all.
    assert text.count("<svg ") == 7 and text.count('role="img" aria-label=') == 7
    assert text.count('aria-label="Final returns on ') == 2
    cells = {row[0]: row for row in page.rows if row}
    assert cells["gamma"][2] == "0.9"
    drawn = "".join(page.words)
    assert all(word in drawn for word in ("evaluation return", "share of seeds", "mac-iaicc", "all tasks"))
    assert not any(row[0] == "num_agents" for row in page.rows if row)
    finals = [row for row in page.rows if row and row[0] == "avf-qplex" and len(row) == 8]
    assert finals[0][1] == "4" and finals[0][-1] == "4 of 4" and finals[1][-1].startswith("0 of")


@pytest.mark.slow
def test_plot_writes_what_its_ending_says(runs, tmp_path, capsys):
    paths = [str(run.path) for run in runs]
    heads = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!DOCTYPE html>", "json": b"{"}
    for ending, head in heads.items():
        out = tmp_path / "new" / f"x.{ending}"
        assert main(["plot", *paths, "--out", str(out)]) == 0
        assert out.read_bytes().startswith(head) and capsys.readouterr().out.strip() == str(out)
    drawn = (tmp_path / "new" / "x.svg").read_text()
    assert drawn.count("<!-- evaluation return -->") == 2  # a panel for each environment
    assert "must end with one of .png, .svg, .pdf, .html, .json" in refused(
        capsys, "plot", *paths, "--out", str(tmp_path / "x.gif")
    )
    assert "smooth is 0, but must be" in refused(capsys, "plot", *paths, "--smooth", "0")
    page, figure = str(tmp_path / "x.html"), str(tmp_path / "x.svg")
    assert "window is 0, but must be" in refused(capsys, "plot", *paths, "--window", "0", "--out", page)
    assert "--window is for final returns" in refused(capsys, "plot", *paths, "--window", "3", "--out", figure)
    said = "x is 'step', but must be one of episodes, steps; did you mean steps?"
    assert said in refused(capsys, "plot", *paths, "--x", "step")
    assert "give at least one run directory" in refused(capsys, "plot")
    with pytest.raises(ValueError, match="give at least one run"):
        jaxmac.compare([])


def test_curves_against_steps(runs, tmp_path, capsys):
    """Learning starts where the steps of the seeds are, on average, when their episodes are `learning_starts`."""
    run = made(tmp_path / "early", learning_starts=300)
    steps, episodes = run.metrics["env_steps"], run.metrics["episodes"][:, 0]
    start = -(-300 // run.specs[0].config.num_envs) * run.specs[0].config.num_envs

    def drawn(run, x):
        (axes,) = run.plot(x=x).axes
        mean = next(line for line in axes.lines if line.get_linewidth() == 2)
        return mean.get_xdata(), [line.get_xdata()[0] for line in axes.lines if line.get_linewidth() == 0.8]

    at, marked = drawn(run, "steps")
    np.testing.assert_allclose(at, steps.mean(1))
    assert marked == [pytest.approx(np.interp(start, episodes, steps.mean(1)))] and 300 <= start < 400
    assert drawn(run, "episodes")[1] == [start]
    assert drawn(runs[0], "steps")[1] == drawn(runs[0], "episodes")[1] == [], "it ended before learning starts"
    with pytest.raises(ValueError, match=r"^x is 'epochs', but must be one of episodes, steps; did you mean"):
        runs[0].plot(x="epochs")
    with pytest.raises(ValueError, match=r"^smooth is 0, but must be >= 1$"):
        runs[0].plot(smooth=0)
    out = tmp_path / "x.html"
    assert main(["plot", str(runs[0].path), "--x", "steps", "--smooth", "3", "--out", str(out)]) == 0
    text = out.read_text() + capsys.readouterr().err
    assert "environment steps (mean over seeds)" in text and "mean of the last 3 evaluations" in text
    refusal = refused(capsys, "plot", str(runs[0].path), "--x", "steps", "--out", str(tmp_path / "x.json"))
    assert "--x is for a figure or page, not for .json" in refusal


def test_the_tables_of_the_page_are_the_rows_of_compare(runs, monkeypatch):
    """Every number where its row and column say, with distinct values for mean, IQM and median."""
    compared = jaxmac.compare(runs[:2])
    for number, row in enumerate(compared["final"]):  # of four members both would be the mean of the middle two
        row["median"] += 1 + number
    monkeypatch.setattr("jaxmac.evaluation.report.compare", lambda *given: compared)
    page = Page(html_report(runs[:2], solved=0.9995))
    assert "solved (99.95\N{NO-BREAK SPACE}%)" in " ".join(page.words)
    lines = [row for row in page.rows if row and len(row) == 8 and row[0] in ("avf-qmix", "avf-qplex")]
    for row, line in zip(compared["final"][:2], lines, strict=False):
        shown = [cell.split(" [")[0] for cell in line[2:5]]
        assert shown == [f"{row[name]:.4g}" for name in ("mean", "iqm", "median")] and len(set(shown)) == 3
        assert line[6] == f"{100 * row['gap']:.1f}\N{NO-BREAK SPACE}%" and 0 < row["gap"] < 0.4
    probability = r"<tr><th scope=.row.>{}</th>{}"
    text, body = html_report(runs[:2]), {}
    for row in compared["improvement"]:
        estimate = f"{row['probability']:.2f} \\[{row['low']:.2f}, {row['high']:.2f}\\]"
        cells = ["<td></td>", f"<td>{estimate}</td>"]
        body[row["label"]] = "".join(cells if row["label"] == "avf-qmix" else cells[::-1])
    assert body["avf-qmix"] != body["avf-qplex"][::-1]
    for label, cells in body.items():
        assert re.search(probability.format(label, cells), text), label


def test_what_is_not_a_number_is_a_dash_without_a_warning(runs):
    broken = dataclasses.replace(runs[0], metrics={k: v.copy() for k, v in runs[0].metrics.items()})
    broken.metrics["eval_return"][9:, 1] = np.nan
    page = Page(html_report([broken, runs[1]]))
    final = next(row for row in page.rows if row[0] == "avf-qmix" and len(row) == 8)
    assert final[1:5] == ["4", "-", "-", "-"] and final[6] == "-" and not any("nan" in row for row in page.rows)


def test_every_word_of_a_table_is_explained(runs):
    text = html_report(runs[:2], window=7, solved=0.9)
    explained = text[text.index('id="words"') :].split("<script>")[0]
    for word in (
        "Member",
        "Final return",
        "interquartile mean",
        "Brackets",
        "Gap",
        "Solved",
        "Random play",
        "A dash",
    ):
        assert word in re.sub("<.*?>", " ", explained), word
    assert "last 7 evaluations" in explained and "at least 90\N{NO-BREAK SPACE}% of the best known" in explained
    assert "120 % that they earn less than nothing" in explained
    boxes = re.findall(r'<div class="table"[^>]*>(?=<table>)', text)
    assert len(boxes) == text.count("<table>") > 2 and "overflow-x: auto" in text


def test_the_data_for_marl_eval(runs, tmp_path, capsys):
    out = tmp_path / "x.json"
    assert main(["plot", *(str(run.path) for run in runs), "--out", str(out)]) == 0
    assert main(["plot", str(runs[0].path), "--out", str(out)]) == 0  # what it wrote itself is replaced
    assert main(["plot", *(str(run.path) for run in runs), "--out", str(out)]) == 0
    data = json.loads(out.read_text())
    assert list(data) == ["boxpushing"] and list(data["boxpushing"]) == ["boxpushing-4", "boxpushing-6"]
    for task in data["boxpushing"].values():  # marl-eval demands the same algorithms, runs and steps for all
        assert list(task) == ["avf-qmix", "avf-qplex"]
        for seeds in task.values():
            assert list(seeds) == ["seed_0", "seed_1", "seed_2", "seed_3"]
            for steps in seeds.values():
                assert list(steps) == [*(f"step_{k}" for k in range(EVALUATIONS)), "absolute_metrics"]
    metrics, seed = runs[3].metrics, data["boxpushing"]["boxpushing-6"]["avf-qplex"]["seed_2"]
    assert seed["step_3"]["step_count"] == 3002 and seed["step_3"]["elapsed_time"] == 1.5
    assert seed["step_3"]["mean_episode_return"] == [pytest.approx(metrics["eval_return"][3, 2], rel=1e-6)]
    last = metrics["eval_return"][-10:, 2].mean()
    assert seed["absolute_metrics"]["mean_episode_return"] == [pytest.approx(last, rel=1e-6)]
    assert set(seed["absolute_metrics"]) == set(seed["step_0"]) - {"step_count", "elapsed_time"}


def test_evaluations_that_are_no_numbers_come_with_a_note_in_the_data_for_marl_eval(runs):
    run = dataclasses.replace(runs[0], metrics={name: x.copy() for name, x in runs[0].metrics.items()})
    run.metrics["eval_return"][2, 1] = np.nan
    with pytest.warns(RunNote, match=r"member 1: evaluations that are not finite: 1$"):
        marl_eval_data([run])
    with pytest.raises(ValueError, match="runs has 3, but must have results or run directories"):
        inspect.unwrap(marl_eval_data)([3])


def test_a_plot_that_is_refused_leaves_no_folder(tmp_path, capsys):
    out = tmp_path / "new" / "x.png"
    refused(capsys, "plot", str(tmp_path / "nope"), "--out", str(out))
    refused(capsys, "plot", str(tmp_path / "nope"), "--out", str(out), "--smooth", "0")
    assert not out.parent.exists()


def test_windows_and_levels_that_mean_nothing_are_refused(runs):
    for window in (0, -1):
        with pytest.raises(ValueError, match=f"^window is {window}, but must be >= 1$"):
            jaxmac.compare(runs, window=window)
        with pytest.raises(ValueError, match=f"^window is {window}, but must be >= 1$"):
            marl_eval_data(runs, window)
    for window in (2.5, True):
        with pytest.raises(ValueError, match=f"^window is {window}, but must be an integer$"):
            jaxmac.compare(runs, window=window)
    for solved in ("x", None):
        with pytest.raises(ValueError, match=f"^solved is {solved!r}, but must be"):
            inspect.unwrap(jaxmac.compare)(runs, solved=solved)
    with pytest.raises(ValueError, match=r"^solved is nan, but must be"):
        jaxmac.compare(runs, solved=float("nan"))
