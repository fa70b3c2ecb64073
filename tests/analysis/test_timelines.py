"""The strip of macro-actions: bars cover every step of every agent, and the episode is the one that is animated."""

import numpy as np
import pytest

import jaxmac
from jaxmac.analysis.timelines import HEIGHTS, Bar, bars, draw
from jaxmac.arguments import FIGURES, MARKS
from jaxmac.cli.main import main


def test_bars_by_hand():
    action = np.array([[1, 0], [1, 0], [2, 0], [2, 3]])
    ended = np.array([[False, True], [True, True], [False, True], [False, True]])
    assert list(bars(action, ended)) == [
        Bar(0, 1, 0, 2, False),
        Bar(0, 2, 2, 4, True),
        Bar(1, 0, 0, 1, False),
        Bar(1, 0, 1, 2, False),
        Bar(1, 0, 2, 3, False),
        Bar(1, 3, 3, 4, False),
    ]


def test_the_script_of_box_pushing():
    env = jaxmac.make("BoxPushing-10")
    figure = jaxmac.timeline(env, jaxmac.scripted_policy(env))
    axes = figure.axes[0]
    assert axes.get_title() == "BoxPushing-10, return 98.9 in 11 timesteps"
    assert [patch.get_width() for patch in axes.patches] == [7, 4, 7, 4]
    assert [text.get_text() for text in axes.texts][-1] == "+99.9"
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_near_rewards_stand_above_each_other_and_letters_are_not_hatched():
    reward = np.full(100, -1.0)
    reward[[20, 23, 24, 60]] = 10.0, 20.0, 30.0, 40.0
    figure = draw([Bar(0, 0, 0, 60, False), Bar(0, 0, 60, 100, True)], reward, (("push",),), "an episode")
    texts = figure.axes[0].texts
    at = {text.get_text(): text.get_position() for text in texts if text.get_text().startswith("+")}
    assert at == {"+10": (21, HEIGHTS[0]), "+20": (24, HEIGHTS[1]), "+40": (61, HEIGHTS[0])}
    assert figure.axes[0].get_ylim()[1] < HEIGHTS[1]
    plain, hatched = (text for text in texts if text.get_text() == "push")
    assert plain.get_bbox_patch() is None and hatched.get_bbox_patch() is not None


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", "--env", "BoxPushing-10", "--timeline"]) == 0
    assert capsys.readouterr().out == "boxpushing_10_scripted_timeline.png\n"
    assert (tmp_path / "boxpushing_10_scripted_timeline.png").stat().st_size > 5000
    assert main(["render", "--env", "BoxPushing-10", "--timeline", "--out", "x.gif"]) == 2
    assert "must end with one of .png, .svg, .pdf" in capsys.readouterr().err


@pytest.mark.parametrize(("draw", "suffix"), [("timeline", ".png"), ("animate", ".gif")])
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (5, ValueError, "path is 5, but must be a path"),
        ("folder", IsADirectoryError, r"folder\.\w+ is a folder"),
        ("notes", FileExistsError, r"notes\.\w+ holds something that jaxmac does not know"),
        ("x.mp4", ValueError, "x.mp4 must end with one of "),
    ],
)
def test_a_path_is_checked_before_the_episode_is_played(path, error, message, draw, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in ("timelines", "animation"):
        monkeypatch.setattr(f"jaxmac.analysis.{module}.play", lambda *arguments: pytest.fail("played"))
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"notes{suffix}").write_text("mine")
    env, path = jaxmac.make("BoxPushing-10"), f"{path}{suffix}" if path in ("folder", "notes") else path
    with pytest.raises(error, match=message):
        getattr(jaxmac, draw)(env, jaxmac.scripted_policy(env), path=path)
    with pytest.raises(ValueError, match="seed is -1"):
        getattr(jaxmac, draw)(env, jaxmac.scripted_policy(env), path=f"new/x{suffix}", seed=-1)
    assert (tmp_path / f"notes{suffix}").read_text() == "mine" and not (tmp_path / "new").exists()


@pytest.mark.parametrize("suffix", FIGURES)
def test_a_picture_takes_the_place_of_another_one(suffix, tmp_path):
    env, path = jaxmac.make("BoxPushing-10"), tmp_path / f"new/folder/x{suffix}"
    for _ in range(2):
        jaxmac.timeline(env, jaxmac.scripted_policy(env), path=path)
    assert MARKS[suffix] in path.read_bytes()[:1000]


def test_a_seed_out_of_range_is_refused():
    env = jaxmac.make("BoxPushing-10")
    with pytest.raises(ValueError, match="seed"):
        jaxmac.timeline(env, jaxmac.scripted_policy(env), seed=-1)
