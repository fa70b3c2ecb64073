"""Final returns of several runs side by side."""

import numpy as np
import pytest

from jaxmac import analysis

FINALS = {
    "first": np.array([1.0, 2.0, 6.0]),
    "two seeds": np.array([4.0, 6.0]),
    "$diverged": np.array([1.0, np.nan, 3.0, 5.0]),
    "all diverged": np.array([np.nan]),
}


@pytest.fixture(scope="module")
def axes():
    return analysis.interval_figure(FINALS, "title", levels={"optimum": 7.0}).axes[0]


def drawn(axes, row, marker):
    """The values of a row that are drawn with a marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [line.get_xdata().tolist() for line in lines if line.get_ydata().tolist()[:1] == [row]]


def test_rows_are_named_from_top_to_bottom_with_their_seeds(axes):
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        "first (3 seeds)",
        "two seeds (2 seeds)",
        "$diverged (3 finite of 4 seeds)",
        "all diverged (0 finite of 1 seed)",
    ]
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_every_finite_seed_and_the_mean_are_drawn(axes):
    assert drawn(axes, 0, "|") == [[1.0, 2.0, 6.0]]
    assert drawn(axes, 2, "|") == [[1.0, 3.0, 5.0]]
    assert drawn(axes, 0, "o") == [[3.0]]
    assert drawn(axes, 2, "o") == [[3.0]]
    assert drawn(axes, 3, "o") == []


def test_three_seeds_have_the_interval_of_the_tables_and_two_none(axes):
    spans = {line.get_ydata()[0]: list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 2.5}
    assert sorted(spans) == [0, 2]
    np.testing.assert_allclose(spans[0], [float(x) for x in analysis.interval(FINALS["first"])[1:]])


def test_levels_are_vertical_lines_with_their_names(axes):
    assert [list(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "--"] == [[7.0, 7.0]]
    assert [text.get_text() for text in axes.texts] == ["optimum 7"]


def test_there_has_to_be_something_to_draw():
    with pytest.raises(ValueError, match="finals is empty"):
        analysis.interval_figure({})


def test_a_long_label_is_wrapped_and_leaves_room_for_the_axes():
    figure = analysis.interval_figure(
        {"avf-qmix, memory=mingru, td_lambda=0.7, train_freq=400": [1.0, 2.0]}, width=4.7
    )
    figure.canvas.draw()
    name = figure.axes[0].get_yticklabels()[0].get_text()
    assert name.split("\n") == ["avf-qmix, memory=mingru,", "td_lambda=0.7,", "train_freq=400 (2 seeds)"]
    assert figure.axes[0].get_position().width > 0.4


def test_a_failing_seed_does_not_squeeze_the_others_into_a_corner():
    finals = {"good": np.linspace(90.0, 95.0, 8), "failing": np.array([-5000.0, -4000.0, 80.0])}
    figure = analysis.interval_figure(finals)
    assert figure.axes[0].get_xlim()[0] == -95
    words = figure.get_supxlabel()
    assert "interval" in words and words.endswith("2 seeds are below \N{MINUS SIGN}95, out of the figure.")


def test_no_more_than_a_quarter_of_the_seeds_is_left_out():
    finals = {"lucky once": np.array([-100.0, -90.0, 2.0]), "none": np.array([-80.0, -70.0, -60.0])}
    assert analysis.interval_figure(finals).axes[0].get_xlim()[0] == -90
    scores = {label: [values] for label, values in finals.items()}
    profile = analysis.profile_figure(scores, list(scores))
    assert profile.axes[0].get_xlim()[0] < -90
    words = [text.get_text() for text in profile.findobj(match=lambda found: hasattr(found, "get_text"))]
    assert any("1 seed is below \N{MINUS SIGN}90, out of the figure." in text for text in words)
    with pytest.raises(ValueError, match="scores is empty"):
        analysis.profile_figure({}, [])


def test_the_caption_speaks_of_an_interval_only_if_there_is_one():
    figure = analysis.interval_figure({"a": np.array([1.0, 2.0])})
    assert figure.get_supxlabel() == "Strokes: seeds. Dot: their mean."


def test_names_of_near_levels_do_not_cover_each_other():
    figure = analysis.interval_figure({"a": np.array([-50.0, 97.0])}, levels={"solved from": 95.4, "optimum": 97.4})
    figure.draw_without_rendering()
    first, second = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(second)


@pytest.mark.parametrize(
    ("seed", "words"),
    [(-500.0, "1 seed is below \N{MINUS SIGN}300, out of the figure."), (80.0, "bootstrap interval.")],
)
def test_a_level_far_below_zero_stays_in_the_figure_and_is_no_seed(seed, words):
    figure = analysis.interval_figure(
        {"one": np.array([90.0, 91.0, 92.0, 93.0, seed])}, levels={"random play": -300.0, "best": 100.0}
    )
    assert figure.axes[0].get_xlim()[0] <= -300
    assert figure.get_supxlabel().endswith(words)
