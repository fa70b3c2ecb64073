"""`make_train`: the pure function underneath, alone, vmapped and beside `jaxmac.train`; programs that are kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import compiler
from support.probes import Asynchronous
from support.registries import registered_only_here
from support.runs import TINY, without

import jaxmac
from jaxmac.algorithms import configure
from jaxmac.envs.registry import register_environment, unregister
from jaxmac.record import Replay, register_sampler
from jaxmac.record.rollout import rollout
from jaxmac.record.samplers import tournament_replay
from jaxmac.runs.members import make_members
from jaxmac.training import member_functions as programs
from jaxmac.training.cache import without_compilation_cache
from jaxmac.training.program import Program

SETTINGS = {**TINY, "episodes": 40}  # evaluations after 0, 12, 24, 36 and 40 episodes


@pytest.fixture(scope="module")
def train():
    return jaxmac.make_train("avf-qmix", Asynchronous(), **SETTINGS)


@pytest.fixture(scope="module")
def run():
    """The same two seeds by `jaxmac.train`."""
    return jaxmac.train("avf-qmix", Asynchronous(), seeds=[3, 5], progress=False, **SETTINGS)


@pytest.mark.slow
def test_vmapped_over_keys_it_is_jaxmac_train(train, run):
    keys = jnp.stack([jax.random.key(3), jax.random.key(5)])
    learner, metrics = jax.jit(jax.vmap(train))(keys)
    assert set(metrics) == set(run.metrics) - {"wall_seconds"}
    for name, values in metrics.items():
        np.testing.assert_allclose(values.T, run.metrics[name], rtol=1e-4, atol=1e-5, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), learner, run.learners[0])


@pytest.mark.slow
def test_vmapped_over_traced_hyperparameters(train, run):
    """A member for each value; those that are not given have the defaults of `train.hyper`."""
    key, rates = jax.random.key(3), jnp.array([0.0, train.hyper["learning_rate"]])
    learner, metrics = jax.jit(jax.vmap(train, in_axes=(None, 0)))(key, {"learning_rate": rates})
    for name, values in metrics.items():
        expected = run.metrics[name][:, 0]
        np.testing.assert_allclose(values[1], expected, rtol=1e-4, atol=1e-5, err_msg=name)
    initial = jax.jit(lambda: train.functions.init(key, train._hyper(None)).learner.params)()
    for member, learns in ((0, False), (1, True)):  # a rate of 0 learns nothing
        same = jax.tree.map(lambda a, b, i=member: np.allclose(a[i], b), learner.params, initial)
        assert all(jax.tree.leaves(same)) != learns


def test_values_that_do_not_go_together_are_refused_when_they_are_given():
    train = jaxmac.make_train("avf-qmix", Asynchronous(), **SETTINGS, reward_scheme="own", td_lambda=0.0)
    with pytest.raises(ValueError, match=r"td_lambda=0\.7 chains rows, and with reward_scheme='own'"):
        train(jax.random.key(0), {"td_lambda": 0.7})
    with pytest.raises(ValueError, match=r"a traced td_lambda chains rows, and with reward_scheme='own'"):
        jax.vmap(train, in_axes=(None, 0))(jax.random.key(0), {"td_lambda": jnp.array([0.0, 0.7])})


def test_its_policy_plays(train):
    member = jax.jit(train.functions.init)(jax.random.key(0), train._hyper(None))
    policy = train.policy(member.learner)
    played = jax.jit(lambda key: rollout(train.env, policy, key, jnp.zeros(3)))(jax.random.key(1))
    assert (played.length > 0).all()


@pytest.mark.parametrize(
    ("change", "hyper", "message"),
    [
        ({"episodes": 0}, None, "episodes is 0, but must be an integer >= 1"),
        ({"replay_episodes": 2, "num_envs": 2}, None, "batch_size is 8, but must be <= replay_episodes=2"),
        ({"kernels": 3}, None, "kernels is a setting of mixer qplex; avf-qmix has mixer qmix"),
        ({"env_options": {"horizon": 3}}, None, "env_options go with an environment id"),
        ({}, {"batch_size": 3}, "'batch_size' is not a traced hyperparameter; known:|did you mean"),
        (
            {},
            {"reward_scale": 1e39},
            r"reward_scale is 1e\+39, inf in float32, in which it is used, but must be > 0",
        ),
        ({}, {"gamma": np.float32(1.5)}, "gamma is 1.5, but must be >= 0 and <= 1"),
        ({}, {"gamma": jnp.float32(1.5)}, "gamma is 1.5, but must be >= 0 and <= 1"),
        ({}, {"gamma": jnp.ones(3)}, r"hyper\['gamma'\] is Array.*, but must be a number; jax.vmap"),
        ({}, {"gamma": [0.9, 0.8]}, r"hyper\['gamma'\] is \[0.9, 0.8\], but must be a number; jax.vmap"),
        ({}, {"gamma": "0.9"}, r"hyper\['gamma'\] is '0.9', but must be a number"),
        ({}, {"gamma": None}, r"hyper\['gamma'\] is None, but must be a number"),
        ({}, ["gamma"], r"hyper is \['gamma'\], but must be a dict"),
        ({}, {"gama": 0.9}, "'gama' is not a traced hyperparameter; did you mean gamma"),
    ],
)
def test_bad_input(change, hyper, message):
    with pytest.raises(ValueError, match=message):
        jaxmac.make_train("avf-qmix", Asynchronous(), **{**SETTINGS, **change})(jax.random.key(0), hyper)


def of_members(env, env_id=None, **values):
    algorithm, env_of = "avf-vdn", jaxmac.make(env, horizon=12) if isinstance(env, str) else env
    return Program(
        algorithm, env_of, make_members(algorithm, env_of, "tuned", TINY | values, 2, None), env_id=env_id
    )


def test_runs_that_differ_in_traced_settings_and_seeds_share_their_programs(monkeypatch):
    """Same id and options, or the same instance; anything static makes another program."""
    monkeypatch.setattr(programs, "_programs", type(programs._programs)())
    first = of_members("BoxPushing-4", "BoxPushing-4").functions
    assert of_members("BoxPushing-4", "BoxPushing-4", learning_rate=0.5, gamma=0.3).functions is first
    assert of_members("BoxPushing-4", "BoxPushing-4", hidden_size=5).functions is not first
    assert of_members("BoxPushing-4").functions is not first  # an instance, which may have been changed by hand
    env = Asynchronous()
    assert of_members(env).functions is of_members(env).functions is not of_members(Asynchronous()).functions
    assert len(programs._programs) == 5
    monkeypatch.setattr(programs, "KEPT_PROGRAMS", 2)
    config = configure("avf-vdn", "tuned", env, TINY | {"hidden_size": 3})
    programs.member_functions("avf-vdn", env, config, None)
    assert len(programs._programs) == 2


@pytest.mark.slow  # it compiles without a cache, twice; the test above is quick
def test_a_second_run_compiles_nothing():
    env, settings = Asynchronous(), {**TINY, "episodes": 12, "progress": False, "seeds": 2}
    with without_compilation_cache(), pytest.MonkeyPatch.context() as patch:  # what is read from disk is no memo
        jaxmac.train("avf-vdn", env, compilation_cache=False, **settings)
        compiled, compile_and_load = [], compiler.backend_compile_and_load

        def counted(*arguments, **options):
            compiled.append(arguments)
            return compile_and_load(*arguments, **options)

        patch.setattr(compiler, "backend_compile_and_load", counted)
        again = settings | {"seeds": [7, 9], "compilation_cache": False}
        jaxmac.train("avf-vdn", env, learning_rate=0.5, **again)
        assert not compiled

        def refused(*arguments, **options):
            raise RuntimeError("compiles")

        patch.setattr(compiler, "backend_compile_and_load", refused)
        with pytest.raises(RuntimeError, match="compiles"):  # another network is another program
            jaxmac.train("avf-vdn", env, **again | {"hidden_size": 3})


def test_an_id_that_is_registered_anew_is_trained_on_its_new_environment():
    """As in a notebook: the cell that registers it is run again after a change."""

    class Changed(Asynchronous):
        """Has the same options: none."""

    def trained(factory):
        register_environment("Pays-1", factory)
        try:
            return of_members(jaxmac.make("Pays-1"), "Pays-1").functions
        finally:
            unregister("Pays-1")

    first = trained(Asynchronous)
    assert trained(partial(Asynchronous)) is trained(partial(Asynchronous))
    assert trained(Asynchronous) is first
    assert trained(Changed) is not first


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["mac-iaicc", "avf-qplex", "mac-cen-q", "tomacvf-qmix"])
def test_the_estimate_of_memory_covers_what_xla_needs(algorithm):
    """The compiled functions' arguments, results and scratch, by XLA's own figure."""
    env = Asynchronous()
    values = {} if algorithm == "mac-iaicc" else {"replay_episodes": 256}
    program = Program(algorithm, env, make_members(algorithm, env, "tuned", values, 2, None))
    program.compile()
    assert 0 < program.compiled.scratch < program.compiled.total <= program.footprint().total


def test_scratch_memory_that_is_not_there_is_refused_after_compiling(monkeypatch):
    program = of_members(Asynchronous())
    monkeypatch.setattr("jaxmac.training.memory.available_bytes", lambda: 10)
    with pytest.raises(MemoryError, match=r"the compiled program of 2 members needs .* beside its data"):
        program.compile()


@pytest.mark.slow
def test_batches_of_one_iteration_differ():
    """Every update draws a minibatch of its own, and members draw apart."""
    env = Asynchronous()
    train = jaxmac.make_train("avf-vdn", env, **{**SETTINGS, "episodes": 20})
    algorithm, indices = train.algorithm, []

    def update(learner, hyper, samples, progress, key):
        jax.debug.callback(lambda index: indices.append(tuple(np.asarray(index).tolist())), samples["main"].index)
        return learner, {
            "loss": jnp.zeros(()),
            "dropped_rows": 0,
            "errors": {"main": jnp.zeros(TINY["batch_size"])},
        }

    algorithm = algorithm._replace(update=update, diagnostics=())
    functions = programs.training_functions(env, algorithm, train.config)
    hyper = train._hyper(None)
    for seed in (0, 1):
        key = jax.random.key(seed)
        member = functions.init(key, hyper)
        jax.block_until_ready(functions.advance(member, key, hyper, jnp.int32(0), jnp.int32(5)))
    jax.effects_barrier()
    assert len(indices) == 2 * algorithm.collection.updates * 2
    assert len(set(indices)) > 0.9 * len(indices)


@pytest.mark.slow
def test_the_sampler_hears_of_the_errors_after_every_update():
    """Each sampled episode's error reaches the storage that the next update samples from."""

    def remembering(capacity, batch_size, window):
        inner = tournament_replay(capacity, batch_size)

        def sample(key, state):
            return inner.sample(key, state["inner"])

        def feedback(state, index, errors):
            return state | {"errors": state["errors"].at[index].set(errors), "calls": state["calls"] + 1}

        return Replay(
            lambda example: {"inner": inner.init(example), "errors": jnp.zeros(capacity), "calls": jnp.int32(0)},
            lambda state, episodes: state | {"inner": inner.add(state["inner"], episodes)},
            lambda state: inner.size(state["inner"]),
            sample,
            capacity,
            feedback,
        )

    with registered_only_here():
        register_sampler("remembering", remembering)
        values = without(SETTINGS, "replay_tournament") | {"sampling": "remembering"}
        train = jaxmac.make_train("avf-vdn", Asynchronous(), **values)
    hyper, key, last = train._hyper(None), jax.random.key(0), train.algorithm.collection.warmup_iterations + 2
    member = train.functions.init(key, hyper)
    before = train.functions.advance(member, key, hyper, jnp.int32(0), jnp.int32(last - 2))
    assert before.replay["main"]["calls"] == 0
    after = jax.jit(train.functions.advance)(member, key, hyper, jnp.int32(0), jnp.int32(last)).replay["main"]
    assert after["calls"] == 2 * train.algorithm.collection.updates
    stored = int(train.algorithm.collection.replay.size(after))
    assert (after["errors"][:stored] > 0).mean() > 0.8 and (after["errors"][stored:] == 0).all()
