"""Learning curves by their matplotlib objects: lines, bands, levels, marks and the words that describe them."""

import numpy as np
import pytest

import jaxmac
from jaxmac import analysis
from jaxmac.analysis.curves import RAW, learning_curves
from jaxmac.analysis.style import BAND, COLOURS


def curve(evaluations=30, members=6, seed=0):
    rng = np.random.default_rng(seed)
    return 100.0 * np.arange(evaluations), rng.normal(size=(evaluations, members)).cumsum(axis=0)


def bold(axes):
    return [line for line in axes.lines if line.get_linewidth() == 2]


def raw(axes):
    return [line for line in axes.lines if line.get_alpha() == RAW]


def words(axes):
    return [text.get_text() for text in axes.texts]


def caption(figure):
    return figure.legends[0].get_title().get_text().replace("\n", " ")


def test_learning_curve_shows_what_it_says(tmp_path):
    episodes, returns = curve()
    curves = {"avf-qplex": (episodes, returns), "avf-vdn": (episodes, returns[:, :1] - 3)}
    path = tmp_path / "curve.png"
    figure = analysis.learning_curve(curves, path=path, optimum=98.9, title="Box Pushing")
    assert path.read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == (
        "training episodes",
        "evaluation return",
        "Box Pushing",
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "avf-qplex (6 seeds)",
        "avf-vdn (1 seed)",
    ]
    assert words(axes) == ["optimum\n98.9"]
    assert axes.get_ylim()[0] < returns.min() < 98.9 < axes.get_ylim()[1]
    assert len({line.get_color() for line in bold(axes)}) == 2
    mean = bold(axes)[0]
    smoothed = analysis.smooth(returns, 5, untrained=1)
    np.testing.assert_allclose(mean.get_ydata(), smoothed.mean(1))
    np.testing.assert_allclose(mean.get_xdata(), episodes)
    (band,) = axes.collections
    _, low, high = analysis.interval(smoothed)
    corners = band.get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(low.min())
    assert corners.max() == pytest.approx(high.max())
    assert len(axes.lines) == 7 + 2 + 1  # every seed as it is, two means, the optimum


def test_single_evaluations_are_faint_and_not_smoothed():
    episodes, returns = curve(members=3)
    (axes,) = analysis.learning_curve({"a": (episodes, returns)}, window=5).axes
    assert RAW < 0.3 and len(raw(axes)) == 3
    for line, own in zip(raw(axes), returns.T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), own)
    assert axes.collections[0].get_alpha() == BAND


@pytest.mark.parametrize(("members", "band", "thin"), [(1, False, 0), (2, False, 2), (3, True, 0), (4, True, 0)])
def test_below_three_seeds_the_seeds_stand_in_the_place_of_the_band(members, band, thin):
    episodes, returns = curve(members=members)
    figure = analysis.learning_curve({"a": (episodes, returns)}, window=4)
    (axes,) = figure.axes
    assert (
        bool(axes.collections)
        == band
        == ("Band: 95\N{NO-BREAK SPACE}% bootstrap interval over seeds." in caption(figure))
    )
    seeds = [line for line in axes.lines if line.get_linewidth() == 1]
    assert len(seeds) == thin and ("Thin: each of two seeds" in caption(figure)) == bool(thin)
    for line, own in zip(seeds, returns.T, strict=bool(thin)):
        np.testing.assert_allclose(line.get_ydata(), analysis.smooth(own, 4, untrained=1))
    assert ("Bold: the one seed." in caption(figure)) == (members == 1)


def test_the_caption_says_what_was_smoothed_over():
    curves = {"a": curve()}
    assert "mean of the last 7 evaluations, or of fewer since" in caption(analysis.learning_curve(curves, window=7))
    plain = analysis.learning_curve(curves, window=1)
    assert "mooth" not in caption(plain) and "Faint: each seed." in caption(plain)
    np.testing.assert_allclose(bold(plain.axes[0])[0].get_ydata(), curves["a"][1].mean(1))
    alone = analysis.learning_curve({"a": curve(members=1)}, window=1)
    assert len(alone.axes[0].lines) == 1 and caption(alone) == "Bold: the one seed."


def test_smoothing_does_not_reach_across_the_start_of_learning():
    episodes = 100.0 * np.arange(20)
    returns = np.where(episodes < 700, -100.0, 50.0)[:, None]  # what was learned shows at once
    (axes,) = analysis.learning_curve({"a": analysis.Curve(episodes, returns, 650)}).axes
    np.testing.assert_array_equal(bold(axes)[0].get_ydata(), returns[:, 0])
    (axes,) = analysis.learning_curve({"a": analysis.Curve(episodes, returns, 0)}).axes
    assert bold(axes)[0].get_ydata()[7] == pytest.approx((4 * -100 + 50) / 5)
    first = np.where(episodes < 100, -100.0, 50.0)[:, None]  # before the first episode nobody has learned anything
    (axes,) = analysis.learning_curve({"a": (episodes, first)}).axes
    np.testing.assert_array_equal(bold(axes)[0].get_ydata(), first[:, 0])


def test_there_is_no_ramp_before_a_jump_and_nothing_beyond_the_data():
    episodes, jump = 100.0 * np.arange(30), 20
    returns = np.where(np.arange(30) < jump, 1.0, 9.0)[:, None]
    (axes,) = analysis.learning_curve({"a": (episodes, returns)}, window=5).axes
    line = bold(axes)[0]
    np.testing.assert_array_equal(line.get_ydata()[:jump], 1.0)
    assert (line.get_ydata()[jump : jump + 5] == pytest.approx([2.6, 4.2, 5.8, 7.4, 9.0])) and line.get_ydata()[
        -1
    ] == 9
    np.testing.assert_array_equal(line.get_xdata(), episodes)


def test_the_start_of_learning_is_marked_once_if_it_is_shared():
    episodes, returns = curve()
    same = {name: analysis.Curve(episodes, returns, 700.0) for name in "ab"}
    (axes,) = analysis.learning_curve(same).axes
    marks = [line for line in axes.lines if list(line.get_xdata()) == [700.0, 700.0]]
    assert len(marks) == 1 and marks[0].get_linewidth() < 1 and words(axes) == ["learning starts"]
    other = same | {"c": analysis.Curve(episodes, returns, 1300.0), "d": (episodes, returns)}
    (axes,) = analysis.learning_curve(other).axes
    marks = {line.get_xdata()[0]: line.get_color() for line in axes.lines if len(line.get_xdata()) == 2}
    assert marks == {700.0: bold(axes)[0].get_color(), 1300.0: bold(axes)[2].get_color()}
    for start in (0.0, 1e9):  # learning from the first episode on, or not yet
        assert not words(analysis.learning_curve({"a": analysis.Curve(episodes, returns, start)}).axes[0])


def test_levels_say_which_one_they_are():
    def levels(**known):
        panel = analysis.Panel("", {"a": curve()}, **known)
        (axes,) = learning_curves([panel]).axes
        return words(axes), {line.get_linestyle() for line in axes.lines[-2:]}

    random = {"random play": -110.0337}
    assert levels(optimum=533.0, best_known=533.0, anchors=random) == (
        ["random play\n\N{MINUS SIGN}110", "optimum\n533"],
        {":", "--"},
    )
    assert levels(best_known=1053.0, anchors=random)[0][1] == "best known\n1,053"


def test_labels_of_near_levels_do_not_cover_each_other():
    figure = analysis.learning_curve({"a": curve()}, optimum=50.0, anchors={"random play": 49.5, "script": 49.8})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3 and not any(boxes[i].overlaps(boxes[i + 1]) for i in range(2))


def test_a_label_has_one_colour_and_one_place_in_the_legend():
    one, other = {"a": curve(members=3)}, {"b": curve(members=1), "a": curve(members=4)}
    figure = learning_curves([analysis.Panel("one", one), analysis.Panel("other", other)], labels=["z", "b"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a (3 or 4 seeds)", "b (1 seed)"]
    colours = [[line.get_color() for line in bold(axes)] for axes in figure.axes]
    assert colours == [[COLOURS[2]], [COLOURS[1], COLOURS[2]]]


def test_a_long_label_is_wrapped_and_takes_no_room_from_the_axes():
    long = "avf-qmix, memory=mingru, td_lambda=0.7, train_freq=400, trajectory_unit=steps"
    short, wrapped = (learning_curves([analysis.Panel("", {x: curve()})], width=4.7) for x in ("short", long))
    assert wrapped.legends[0].get_texts()[0].get_text().replace("\n", " ") == f"{long} (6 seeds)"
    boxes = []
    for figure in (short, wrapped):
        figure.draw_without_rendering()
        boxes.append(figure.axes[0].get_window_extent())
        legend = figure.legends[0].get_window_extent()
        assert legend.x0 >= 0 and legend.x1 <= figure.bbox.x1
    assert boxes[1].height > 0.9 * boxes[0].height


def test_a_failing_policy_is_on_a_logarithmic_part_of_the_axis_that_is_marked():
    episodes, returns = curve()
    bad = np.full((30, 3), -5000.0)
    panel = analysis.Panel("", {"good": (episodes, returns), "bad": (episodes, bad)}, 48.0)
    (axes,) = learning_curves([panel]).axes
    assert words(axes)[0] == "logarithmic\nbelow \N{MINUS SIGN}50"
    (shade,) = axes.patches
    low, high = shade.get_y(), shade.get_y() + shade.get_height()
    assert high == -50 and low == axes.get_ylim()[0] < -5000
    heights = axes.transData.transform([(0, y) for y in (40, 20, 0, -20, -40, -50, -500, -5000)])[:, 1]
    linear, decades = -np.diff(heights)[:4], -np.diff(heights)[5:]
    np.testing.assert_allclose(linear, linear[0])
    np.testing.assert_allclose(decades, 25 / 20 * linear[0])  # half of the bound
    ticks = axes.get_yticks()
    assert {-5000, -500, -50, 0, 40} <= set(ticks)
    np.testing.assert_allclose(axes.transData.inverted().transform((0, heights[-1]))[1], -5000)


@pytest.mark.parametrize("best", [None, 5000.0])
def test_an_axis_is_linear_where_nothing_is_far_below_the_best(best):
    episodes, returns = curve()
    panel = analysis.Panel("", {"a": (episodes, np.full((30, 3), -5000.0)), "b": (episodes, returns)}, best)
    (axes,) = learning_curves([panel]).axes
    assert axes.get_yscale() == "linear" and not axes.patches and "logarithmic" not in "".join(words(axes))


def test_a_compact_panel_begins_where_learning_does_and_ends_a_little_below_the_lowest_level():
    episodes, returns = 100.0 * np.arange(20), np.full((20, 4), 90.0)
    returns[:5], returns[5:8] = -40.0, -900.0
    panel = analysis.Panel("BoxPushing-10", {"avf-qmix": analysis.Curve(episodes, returns, 500.0)}, 98.9)
    panel = panel._replace(anchors={"random play": -7.0})
    figure = learning_curves([panel], window=1, compact=True)
    (axes,) = figure.axes
    (line,) = bold(axes)
    assert line.get_xdata()[0] == 500 and raw(axes) == []
    assert axes.get_yscale() == "linear" and -30 < axes.get_ylim()[0] < -7 and 98.9 < axes.get_ylim()[1] < 120
    assert "Faint" not in caption(figure) and "learning starts" not in words(axes)
    assert "Curves begin where learning starts." in caption(figure)
    wide = learning_curves([panel], window=1).axes[0]
    assert wide.get_ylim()[0] < -900 and bold(wide)[0].get_xdata()[0] == 0 and len(raw(wide)) == 4


def test_a_figure_without_curves_is_refused_in_words():
    with pytest.raises(ValueError, match=r"^there is no curve to draw: no evaluation yet\?$"):
        analysis.learning_curve({})
    with pytest.raises(ValueError, match="there is no curve to draw for BoxPushing-4"):
        analysis.learning_curve({}, title="BoxPushing-4")


def test_what_is_not_a_number_is_a_gap():
    episodes, returns = curve(members=3)
    returns[4, 0], returns[20:, 1] = np.nan, np.inf
    figure = analysis.learning_curve({"a": (episodes, returns)}, window=2, optimum=5.0)
    (axes,) = figure.axes
    finite = np.isfinite(bold(axes)[0].get_ydata())
    assert np.flatnonzero(~finite).tolist() == [4, 5, *range(20, 30)]
    assert "Gap: an evaluation that is averaged there was not a number." in caption(figure) and axes.collections
    nothing = analysis.learning_curve({"a": (episodes, np.full((30, 3), np.nan))}, optimum=5.0)
    assert np.isnan(bold(nothing.axes[0])[0].get_ydata()).all() and nothing._repr_png_()


def test_steps_of_seeds_differ_and_their_mean_places_the_mean():
    episodes, returns = curve(members=3)
    steps = episodes[:, None] * np.array([9.0, 10.0, 14.0])
    figure = analysis.learning_curve({"a": analysis.Curve(steps, returns, 7700.0)}, x="steps")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "environment steps (mean over seeds)"
    np.testing.assert_allclose(bold(axes)[0].get_xdata(), 11 * episodes)
    np.testing.assert_array_equal(raw(axes)[2].get_xdata(), steps[:, 2])
    np.testing.assert_allclose(bold(axes)[0].get_ydata()[:8], analysis.smooth(returns, 5, untrained=7)[:8].mean(1))
    figure.draw_without_rendering()
    assert any("k" in label.get_text() for label in axes.get_xticklabels())


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ("step", "x is 'step', but must be one of episodes, steps; did you mean steps?"),
        ("wall", "x is 'wall', but must be one of episodes, steps"),
    ],
)
def test_another_axis_is_refused_in_one_line(x, said):
    with pytest.raises(ValueError) as error:
        analysis.learning_curve({"a": curve()}, x=x)
    assert str(error.value) == said


def test_learning_curve_without_optimum_or_path():
    figure = analysis.learning_curve({"a": curve()})
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook shows
    assert not figure.axes[0].texts
    with pytest.raises(ValueError, match=r"^window is 0, but must be >= 1$"):
        analysis.learning_curve({"a": curve()}, window=0)


def test_learning_curve_names_the_curve_that_does_not_fit():
    episodes, returns = curve()
    with pytest.raises(ValueError, match=r"avf-vdn: returns \(30, 6\) must be \[29 evaluations"):
        analysis.learning_curve({"avf-vdn": (episodes[1:], returns)})


def test_profiles_have_a_band_from_three_seeds_on():
    scores = {"a": [np.array([1.0, 2.0, 4.0])], "b": [np.array([1.0, 3.0])]}
    figure = analysis.profile_figure(scores, ["a", "b"])
    assert len(figure.axes[0].collections) == 1 and "Band" in caption(figure)
    assert not analysis.profile_figure({"b": scores["b"]}, ["a", "b"]).axes[0].collections


def test_profiles_have_a_second_panel_where_lines_are_close():
    figure = analysis.profile_figure({"a": [np.array([0.2, 0.95, 1.0])]}, ["a"], detail=(0.9, 1.0))
    whole, detail = figure.axes
    assert whole.get_xlim()[0] < 0.2 and 0.88 < detail.get_xlim()[0] < detail.get_xlim()[1] < 1.02
    assert detail.lines[0].get_ydata()[0] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"^detail is \(1.0, 0.9\), but must be two finite numbers, the lower one"):
        analysis.profile_figure({"a": [np.ones(3)]}, ["a"], detail=(1.0, 0.9))


def test_random_play_is_known_for_listed_environments_as_they_are_listed():
    assert analysis.random_return(jaxmac.make("Warehouse-D")) == pytest.approx(-110, abs=1)
    assert analysis.random_return(jaxmac.make("Warehouse-D", horizon=150)) is not None  # what it is anyway
    assert analysis.random_return(jaxmac.make("Warehouse-D", late_penalty=-5.0)) is None
    assert analysis.random_return(jaxmac.make("Warehouse-D", preset="neurips22")) is None
    own = type(jaxmac.make("BoxPushing-4"))(4)
    assert analysis.random_return(own) is None
    own.name = "Warehouse-D"
    assert analysis.random_return(own) is None
