import numpy as np
import pytest

from jaxmac import analysis


def curve(evaluations=30, members=6, seed=0):
    rng = np.random.default_rng(seed)
    return 100.0 * np.arange(evaluations), rng.normal(size=(evaluations, members)).cumsum(axis=0)


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
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["avf-qplex (n = 6)", "avf-vdn (n = 1)"]
    assert [text.get_text() for text in axes.texts] == ["optimum 98.9"]
    assert axes.get_ylim()[0] < returns.min() < 98.9 < axes.get_ylim()[1]
    bold = [line for line in axes.lines if line.get_linewidth() == 2]
    assert len(axes.lines) == 6 + 2 + 1
    assert len({line.get_color() for line in bold}) == 2
    np.testing.assert_allclose(bold[0].get_ydata(), analysis.smooth(returns).mean(1))
    np.testing.assert_allclose(bold[0].get_xdata(), episodes)
    (band,) = axes.collections
    _, low, high = analysis.interval(analysis.smooth(returns))
    corners = band.get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(low.min())
    assert corners.max() == pytest.approx(high.max())


def test_learning_curve_without_optimum_or_path():
    figure = analysis.learning_curve({"a": curve()})
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook shows
    assert not figure.axes[0].texts


def test_learning_curve_names_the_curve_that_does_not_fit():
    episodes, returns = curve()
    with pytest.raises(ValueError, match=r"avf-vdn: returns \(30, 6\) must be \[29 evaluations"):
        analysis.learning_curve({"avf-vdn": (episodes[1:], returns)})
