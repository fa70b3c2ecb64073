import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmac.networks.agent import make_agent_networks
from jaxmac.networks.memory import GRU


def sequence(seed, steps=6, batch=3, sizes=(4, 2)):
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(steps, batch, len(sizes), max(sizes))).astype(np.float32)
    for i, size in enumerate(sizes):
        obs[:, :, i, size:] = 0
    advance = rng.random((steps, batch, len(sizes))) < 0.5
    advance[0] = True
    last = rng.integers(-1, 2, (steps, batch, len(sizes)))
    return jax.device_put((obs, last, advance))


def made(*sizes, **options):
    """Networks whose functions are compiled whole."""
    networks = make_agent_networks(*sizes, **options)
    return networks._replace(init=jax.jit(networks.init), apply=jax.jit(networks.apply))


@pytest.fixture(scope="module", params=["none", "centred", "raw"])
def nets(request):
    networks = made((4, 2), (3, 5), hidden_size=8, dueling=request.param)
    return networks, networks.init(jax.random.key(0))


def test_gru_is_pytorchs():
    """Gates by hand, in PyTorch's order r, z, n, with both bias vectors."""
    gru, h, x = GRU(3), np.ones((1, 3), np.float32) * 0.3, np.array([[[0.5, -1.0]]], np.float32)
    params = gru.init(jax.random.key(1), h, x, np.ones((1, 1), bool))
    p = {k: np.asarray(v, np.float64) for k, v in params["params"].items()}
    gi, gh = x[0, 0] @ p["weight_ih"] + p["bias_ih"], h[0] @ p["weight_hh"] + p["bias_hh"]
    r, z = (1 / (1 + np.exp(-(gi[s] + gh[s]))) for s in (slice(0, 3), slice(3, 6)))
    n = np.tanh(gi[6:] + r * gh[6:])
    expected = (1 - z) * n + z * h[0]
    np.testing.assert_allclose(gru.apply(params, h, x, np.ones((1, 1), bool))[0][0], expected, rtol=1e-5)


def test_hidden_states_are_held_bit_identical_between_decisions(nets):
    networks, params = nets
    obs, last, advance = sequence(0)
    _, out = networks.apply(params, networks.initial_hidden(3), obs, last, advance)
    held = ~np.asarray(advance[1:])
    assert held.any() and (~held).any()
    before, after = np.asarray(out.hidden[:-1]), np.asarray(out.hidden[1:])
    np.testing.assert_array_equal(before[held], after[held])
    assert (np.abs(before[~held] - after[~held]).max(-1) > 1e-6).all()
    np.testing.assert_allclose(np.asarray(out.q[:-1])[held], np.asarray(out.q[1:])[held], atol=1e-6)


def test_what_is_seen_between_decisions_never_matters(nets):
    networks, params = nets
    obs, last, advance = sequence(1)
    noisy = jnp.where(advance[..., None], obs, 1e3)
    for source in (obs, noisy):
        _, out = networks.apply(params, networks.initial_hidden(3), source, last, advance)
        if source is obs:
            first = out
    np.testing.assert_array_equal(first.q, out.q)


def test_acting_step_by_step_equals_one_pass(nets):
    networks, params = nets
    obs, last, advance = sequence(2)
    _, whole = networks.apply(params, networks.initial_hidden(3), obs, last, advance)
    hidden = networks.initial_hidden(3)
    for t in range(obs.shape[0]):
        hidden, one = networks.apply(params, hidden, obs[t : t + 1], last[t : t + 1], advance[t : t + 1])
        np.testing.assert_allclose(one.q[0], whole.q[t], atol=1e-6)


def test_agents_have_their_own_weights(nets):
    _, params = nets
    kernel = params["params"]["encode_0"]["kernel"]
    assert kernel.shape[0] == 2
    assert np.abs(kernel[0] - kernel[1]).max() > 0.01


def test_centred_dueling_averages_over_real_actions_only():
    networks = made((4, 2), (3, 5), hidden_size=8, dueling="centred")
    params = networks.init(jax.random.key(3))
    _, out = networks.apply(params, networks.initial_hidden(3), *sequence(3))
    np.testing.assert_allclose(out.q[:, :, 0, :3].mean(-1), out.value[:, :, 0], atol=1e-5)
    np.testing.assert_allclose(out.q[:, :, 1].mean(-1), out.value[:, :, 1], atol=1e-5)


@pytest.mark.parametrize("obs_last_action", [False, True])
def test_padded_agents_start_with_their_real_fans(obs_last_action):
    networks = made((400, 2), (3, 300), hidden_size=64, obs_last_action=obs_last_action)
    params = networks.init(jax.random.key(4))["params"]
    gain, inputs = np.sqrt(2 / (1 + 0.01**2)), np.array([400, 2]) + obs_last_action * np.array([3, 300])
    first = np.abs(params["encode_0"]["kernel"]).max((1, 2))
    last = np.abs(params["utilities"]["kernel"]).max((1, 2))
    np.testing.assert_allclose(first, gain * np.sqrt(6 / (inputs + 64)), rtol=0.02)
    np.testing.assert_allclose(last, np.sqrt(6 / (np.array([3, 300]) + 64)), rtol=0.02)


def test_shared_weights_are_one_network_told_apart_by_the_id():
    networks = made((4, 4), (3, 3), hidden_size=8, share_parameters=True)
    params = networks.init(jax.random.key(5))
    assert params["params"]["encode_0"]["kernel"].shape == (4 + 2, 8)
    obs, last, advance = sequence(5, sizes=(4, 4))
    same = jnp.repeat(obs[:, :, :1], 2, axis=2), last, jnp.repeat(advance[:, :, :1], 2, axis=2)
    _, out = networks.apply(params, networks.initial_hidden(3), *same)
    assert np.abs(out.q[:, :, 0] - out.q[:, :, 1]).max() > 1e-4


def test_the_last_action_is_an_input_only_as_an_option():
    for option in (False, True):
        networks = made((4, 2), (3, 5), hidden_size=8, obs_last_action=option)
        params = networks.init(jax.random.key(6))
        obs, last, advance = sequence(6)
        one, other = (
            networks.apply(params, networks.initial_hidden(3), obs, actions, advance)[1].q
            for actions in (last, jnp.zeros_like(last) - 1)
        )
        assert bool((one == other).all()) is not option
