import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from support.selection import representative_ids

from jaxmac import envs
from jaxmac.envs.rendering import frame, write_gif


def episode(env, choices, steps):
    step = jax.jit(env.step)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    states = [state]
    for t in range(steps):
        state, _ = step(jax.random.key(t), state, np.array(choices[t % len(choices)]))
        states.append(state)
    return states


def test_frame_shows_robots_boxes_and_actions():
    env = envs.make("BoxPushing-6")
    start = jax.device_get(jax.jit(env.initial)(np.array([[2, 1], [4, 1]]), np.array([0, 0]))[0])
    image = frame(env, start)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    physics = start.physics
    robots = physics.robots
    different = {
        "moved": start.replace(physics=physics.replace(robots=robots.replace(x=robots.x + 1))),
        "turned": start.replace(physics=physics.replace(robots=robots.replace(heading=robots.heading + 1))),
        "box": start.replace(physics=physics.replace(rows=physics.rows + (np.arange(3) == 2))),
        "action": start.replace(macro_action=np.array([4, 7])),
        "return": start.replace(episode_return=jnp.float32(3)),
        "end": start.replace(terminal=jnp.bool_(True)),
    }
    for what, state in different.items():
        assert (frame(env, state) != image).any(), what
    assert np.array_equal(frame(env, start), image)


def test_robots_in_one_cell_are_both_visible():
    env = envs.make("BoxPushing-6", num_agents=3)
    together = frame(env, jax.jit(env.initial)(np.array([[2, 1]] * 3), np.array([0, 1, 2]))[0]).astype(int)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)):
        in_grid = (abs(together[:390] - colour).sum(axis=2) < 12).sum()
        assert in_grid > 40, colour


@pytest.mark.parametrize(
    ("env_id", "time", "end", "outcome"),
    (
        ("BoxPushing-10-primitive", 100, "truncated", "time limit"),
        ("BoxPushing-6", 3, "terminal", "finished"),
    ),
)
def test_title_and_outcome_stand_side_by_side(env_id, time, end, outcome):
    env = envs.make(env_id)
    state = jax.device_get(jax.jit(env.reset)(jax.random.key(0))[0])
    state = state.replace(time=jnp.int32(time), episode_return=jnp.float32(-18.6 * time), **{end: jnp.bool_(True)})
    figure = Figure(figsize=(4, 4), dpi=100)
    ax = FigureCanvasAgg(figure).figure.add_axes((0.03, 0.01, 0.94, 0.91))
    env.draw(jax.device_get(state), ax)
    title, shown = (next(text for text in ax.texts if word in text.get_text()) for word in ("step", outcome))
    assert title.get_window_extent().x1 + 10 < shown.get_window_extent().x0
    assert (title.get_fontsize() == 10) == (time == 3)


@pytest.mark.parametrize("env_id", representative_ids())
def test_every_environment_draws(env_id):
    env = envs.make(env_id)
    image = frame(env, jax.jit(env.reset)(jax.random.key(0))[0])
    assert min(image.shape[:2]) > 200 and max(image.shape[:2]) < 1000 and image.std() > 5


@pytest.mark.slow
def test_gif_has_a_frame_per_state_and_is_small(tmp_path):
    env = envs.make("BoxPushing-10")
    states = episode(env, [[2, 1], [5, 3], [6, 6], [0, 2]], 100)
    path = write_gif(env, states, tmp_path / "episode.gif", fps=10)
    assert path.stat().st_size < 500_000
    with Image.open(path) as gif:
        assert gif.n_frames == 101
        assert gif.info["duration"] == 100
        for t in (37, 100):
            gif.seek(t)
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert abs(shown - frame(env, states[t])).mean() < 3
            assert abs(shown - frame(env, states[t - 5])).mean() > abs(shown - frame(env, states[t])).mean()
        assert gif.info["duration"] == 2000


def test_gif_from_stacked_states_equals_gif_from_a_list(tmp_path):
    env = envs.make("BoxPushing-4")
    states = episode(env, [[2, 3], [4, 4]], 3)
    stacked = jax.device_put(jax.tree.map(lambda *leaves: np.stack(leaves), *states))
    one, two = (write_gif(env, s, tmp_path / f"{i}.gif").read_bytes() for i, s in enumerate((states, stacked)))
    assert one == two
    with pytest.raises(ValueError, match="states is empty"):
        write_gif(env, [], tmp_path / "none.gif")
