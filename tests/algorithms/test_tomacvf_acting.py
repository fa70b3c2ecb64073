"""What ToMacVF's agents perceive when they act."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from support.samples import sample_of

from jaxmac import envs
from jaxmac.algorithms import configure, make_algorithm, tomacvf
from jaxmac.hyper import hyper_of
from jaxmac.networks.choice import conditional_argmax
from jaxmac.record.rollout import rollout

SMALL = {"hidden_size": 8, "layer_size": 8, "hidden_layers": 1, "attention_width": 8, "num_envs": 8}
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def env():
    return envs.make("BoxPushing-4", horizon=20)


@pytest.fixture(scope="module", params=[False, True], ids=["fresh", "stale"])
def learner(request, env):
    """(config, algorithm, hyper, state) of agents that act on fresh or on held observations."""
    options = SMALL | {"stale_obs_at_execution": request.param}
    config = configure("tomacvf-qmix", "paper", env, options)
    algorithm, hyper = make_algorithm("tomacvf-qmix", env, config), hyper_of(config)
    state = quick(algorithm.init)(jax.random.key(0), hyper)
    return config, algorithm, hyper, jax.tree.map(lambda x: 3 * x, state)


def test_agents_perceive_either_fresh_or_held_observations(learner, env):
    config, algorithm, hyper, state = learner
    policy = algorithm.behaviour(state, hyper, "main")
    ts = jax.tree.map(lambda x: x[None], quick(env.reset)(jax.random.key(0))[1])

    @quick
    def hidden(ts):
        return policy.act(jax.random.key(0), policy.initial_carry(1), ts, jnp.zeros(1))[0]

    plain = hidden(ts)
    for name, matters in (("obs", not config.stale_obs_at_execution), ("macro_obs", config.stale_obs_at_execution)):
        changed = hidden(ts.replace(**{name: getattr(ts, name) + 1.0}))
        assert (changed != plain).any() == matters, name


@pytest.mark.slow
def test_choices_are_those_of_the_network_unrolled_over_the_record(learner, env):
    config, algorithm, hyper, state = learner
    policy = algorithm.evaluation(state, hyper)
    played = quick(lambda key: rollout(env, policy, key, jnp.zeros(2)))(jax.random.key(3))
    steps = quick(lambda e: tomacvf.steps_of(config, sample_of(e), hyper, None))(played)
    if config.stale_obs_at_execution:  # what was perceived when the running macro-action was chosen
        chosen_at = (steps.clock[..., None] - steps.elapsed).astype(jnp.int32)
        held = jnp.take_along_axis(steps.obs, chosen_at[..., None], axis=0)
        assert (held != steps.obs).any()
        steps = steps._replace(obs=held)
    networks = tomacvf.make_networks(env, config, "qmix")
    utilities, _ = quick(lambda params, steps: tomacvf.outputs_of(networks, params, steps))(state.params, steps)
    greedy = conditional_argmax(utilities.q, steps.avail, steps.choosing, steps.running)[:-1]
    assert (greedy == steps.macro_action).all(-1)[steps.mask].all()


def test_a_sampler_of_windows_is_refused():
    config = configure("tomacvf-qmix", "tuned", envs.make("BoxPushing-4"), {"sampling": "windows"})
    with pytest.raises(ValueError, match="sampling='windows' draws windows; this algorithm learns from whole epis"):
        make_algorithm("tomacvf-qmix", envs.make("BoxPushing-4"), config)
