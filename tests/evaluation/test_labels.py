"""Labels that a user gives to runs, and what a result says of itself."""

import numpy as np
import pytest
from support.commands import refused
from support.made_runs import made

import jaxmac
from jaxmac.cli.main import main
from jaxmac.evaluation.marl_eval import marl_eval_data
from jaxmac.evaluation.report import html_report


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return [made(folder / "qmix4"), made(folder / "qplex4", "avf-qplex", level=99.0)]


def test_runs_may_have_labels_of_their_own(runs, tmp_path, capsys):
    labelled = {"ours": runs[0], "theirs": runs[1].path}
    assert [row["label"] for row in jaxmac.compare(labelled)["final"]] == ["ours", "theirs"]
    assert "ours" in html_report(labelled) and "theirs" in html_report(labelled)
    assert {"ours", "theirs"} == set(marl_eval_data(labelled)["boxpushing"]["boxpushing-4"])
    out = tmp_path / "x.svg"
    assert main(["plot", f"ours={runs[0].path}", str(runs[1].path), "--out", str(out)]) == 0
    drawn = out.read_text()
    assert "ours" in drawn and "avf-qplex" in drawn and "avf-qmix" not in drawn
    capsys.readouterr()
    for word in ("=runs", "runs/lr=0.1/typo"):
        assert f"{word} is not a run directory" in refused(capsys, "plot", word)
    with pytest.raises(ValueError, match="runs has the label 3, but must have words"):
        jaxmac.compare({3: runs[0]})


def test_other_columns_are_drawn_without_what_is_known_of_returns(runs, tmp_path, capsys):
    out = tmp_path / "x.svg"
    assert main(["plot", *(str(run.path) for run in runs), "--y", "eval_success", "--out", str(out)]) == 0
    drawn = out.read_text()
    assert "success rate" in drawn and "random play" not in drawn and "optimum" not in drawn
    capsys.readouterr()
    found = "y is 'eval_sucess', but must be one of eval_return, eval_discounted_return, eval_length"
    assert found in refused(capsys, "plot", str(runs[0].path), "--y", "eval_sucess")
    page = refused(capsys, "plot", str(runs[0].path), "--y", "loss", "--out", str(tmp_path / "x.html"))
    assert "--y is for a figure, not for .html" in page
    runs[0].metrics["eval_success"][:] = np.nan
    with pytest.raises(ValueError, match="avf-qmix has no number in eval_success on BoxPushing-4, so"):
        runs[0].plot(y="eval_success")


def test_two_members_have_no_interval(tmp_path):
    pair = [made(tmp_path / str(n), algorithm, seeds=2) for n, algorithm in enumerate(("avf-qmix", "avf-vdn"))]
    compared = jaxmac.compare(pair)
    for row, names in ((compared["final"][0], ("mean_low", "iqm_high")), (compared["improvement"][0], ("low",))):
        assert all(np.isnan(row[name]) for name in names)


def test_a_result_is_one_line(runs):
    text = (
        f"Result(avf-qmix on BoxPushing-4, 4 members, {runs[0].metrics['episodes'].max():.0f} episodes, finished, "
    )
    assert repr(runs[0]) == f"{text}{runs[0].path})"
