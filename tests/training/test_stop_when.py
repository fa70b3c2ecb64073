"""`stop_when`: a run that its caller ends after an evaluation."""

import numpy as np
import pytest
from support.runs import ENV, TINY

import jaxmac


class Pruned(Exception):
    """What a search library raises."""


def train(out=None, **options):
    return jaxmac.train("avf-vdn", ENV, seeds=2, episodes=48, progress=False, out=out, **{**TINY, **options})


def test_a_run_ends_after_the_evaluation_and_goes_on_as_if_it_had_not(tmp_path):
    seen = []

    def stop(rows):
        seen.append([(row["member"], row["episodes"], row["eval_return"]) for row in rows])
        rows.clear()  # they are copies
        return seen[-1][0][1] >= 24

    stopped = train(tmp_path / "run", stop_when=stop)
    assert stopped.status == "interrupted" and len(seen) == len(stopped.metrics["episodes"]) == 3
    assert [entry[:2] for entry in seen[-1]] == [(0, 24), (1, 24)]
    np.testing.assert_array_equal([entry[2] for entry in seen[-1]], stopped.metrics["eval_return"][-1])
    whole, resumed = train(), jaxmac.resume(tmp_path / "run", env=ENV, progress=False, stop_when=lambda rows: False)
    assert whole.status == resumed.status == "finished"
    np.testing.assert_array_equal(whole.metrics["eval_return"], resumed.metrics["eval_return"])


def test_a_run_ends_after_the_last_evaluation_of_a_group_that_is_not_the_last():
    stopped = train(sweep={"hidden_size": [8, 6]}, stop_when=lambda rows: rows[0]["episodes"] == 48)
    assert stopped.status == "interrupted" and np.isnan(stopped.metrics["eval_return"][:, 2:]).all()


def test_at_the_end_there_is_nothing_to_stop():
    assert train(stop_when=lambda rows: rows[0]["episodes"] == 48).status == "finished"


def test_what_it_raises_reaches_the_caller(tmp_path):
    def stop(rows):
        raise Pruned("enough")

    with pytest.raises(Pruned, match=r"^enough$"):
        train(tmp_path / "run", stop_when=stop)
    assert jaxmac.load(tmp_path / "run", env=ENV).status == "failed"


def test_what_is_no_function_is_refused():
    for function in (train, lambda **given: jaxmac.resume("runs/a", **given)):
        with pytest.raises(ValueError, match="stop_when is 3, but must be a function or None"):
            function(stop_when=3)
