"""Diagnostics of algorithms as columns of metrics.csv: written, read, resumed, plotted, logged."""

import csv
import json

import jax
import numpy as np
import pytest
from matplotlib.text import Text
from support.bare import Bare, make_bare
from support.registries import registered_only_here
from support.runs import ENV, FAMILIES, TINY

import jaxmac
from jaxmac.algorithms import ALGORITHMS, AlgorithmSpec
from jaxmac.algorithms.diagnostics import ACTOR_CRITIC, PPO, VALUE_BASED
from jaxmac.cli.main import main
from jaxmac.errors import RunDirectoryError
from jaxmac.training import member_functions

PPO_TINY = {"num_envs": 4, "minibatches": 2, "epochs": 2, "eval_every": 8, "eval_episodes": 2, "hidden_size": 4}
OF = {"avf-qplex": VALUE_BASED, "tomacvf-qmix": VALUE_BASED, "mac-iaicc": ACTOR_CRITIC, "mac-mappo": PPO}
OF["parallel-mac-dec-ddrqn"] = (*VALUE_BASED, "agents_loss", "centralised_loss")


def short(algorithm, **options):
    return jaxmac.train(algorithm, ENV, **{"seeds": 2, "episodes": 32, "progress": False} | options)


@pytest.fixture(scope="module")
def ppo(tmp_path_factory):
    out = tmp_path_factory.mktemp("diagnostics") / "run"
    return short("mac-ippo", out=out, **PPO_TINY)


def test_they_are_columns_after_those_of_every_run(ppo):
    with (ppo.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0])[-len(PPO) - 1 :] == ("epsilon", *PPO)
    assert {rows[0][name] for name in PPO} == {""}  # no update yet
    assert json.loads((ppo.path / "config.json").read_text())["diagnostics"] == list(PPO)
    found = ppo.metrics
    assert np.isnan(found["entropy"][0]).all() and all(np.isfinite(found[name][1:]).all() for name in PPO)
    np.testing.assert_allclose(found["actor_loss"] + found["critic_loss"], found["loss"], rtol=1e-5)
    assert (found["entropy"][1:] > 0).all() and (found["entropy"][1:] <= np.log(ENV.max_actions) + 1e-6).all()
    assert (found["approx_kl"][1:] >= 0).all() and (found["clip_fraction"][1:] <= 1).all()
    assert (found["explained_variance"][1:] <= 1).all() and (found["critic_grad_norm"][1:] > 0).all()
    loaded = jaxmac.load(ppo.path, ENV).metrics
    assert list(loaded) == list(found)
    np.testing.assert_allclose(loaded["approx_kl"], found["approx_kl"], rtol=1e-5)


def test_they_are_plotted(ppo):
    figure = ppo.plot(y="entropy")
    assert figure.axes[0].get_ylabel() == "entropy"
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "Bold: mean" in texts and "Gap" not in texts  # before the first update there is nothing to be missed
    with pytest.raises(ValueError, match=r"y is 'entopy', but must be one of .*; did you mean entropy\?"):
        ppo.plot(y="entopy")
    with pytest.raises(ValueError, match="y is 'q_taken', but must be one of "):
        ppo.plot(y="q_taken")


@pytest.mark.slow
def test_a_pure_function_returns_them(ppo):
    train = jaxmac.make_train("mac-ippo", ENV, episodes=32, **PPO_TINY)
    metrics = jax.jit(train)(jax.random.key(0))[1]
    assert set(metrics) == set(ppo.metrics) - {"wall_seconds"}
    np.testing.assert_allclose(metrics["approx_kl"], ppo.metrics["approx_kl"][:, 0], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_has_them_and_they_go_on_where_they_were(name, tmp_path):
    settings = FAMILIES[name] | {"eval_every": 4}
    straight = short(name, **settings)
    assert tuple(straight.metrics)[-len(OF[name]) :] == OF[name]
    assert all(np.isfinite(straight.metrics[column][-1]).all() for column in OF[name])
    short(name, **settings, episodes=20, out=tmp_path / "run", checkpoint_every=1)
    resumed = jaxmac.resume(tmp_path / "run", episodes=32, env=ENV, progress=False)
    for column in OF[name]:
        np.testing.assert_array_equal(resumed.metrics[column][-1], straight.metrics[column][-1])


@pytest.mark.slow
def test_a_run_from_before_them_goes_on_without(tmp_path):
    """Its checkpoint has no sums of them, its metrics.csv no columns, and its config.json does not name them."""
    with registered_only_here():
        preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}
        jaxmac.register_algorithm("bare", AlgorithmSpec(Bare, make_bare, preset))
        out = tmp_path / "run"
        short("bare", episodes=8, out=out)
        config = json.loads((out / "config.json").read_text())
        assert config.pop("diagnostics") == []
        (out / "config.json").write_text(json.dumps(config | {"format": 6}))
        ALGORITHMS.unregister("bare")
        told = AlgorithmSpec(Bare, lambda env, config: telling(make_bare(env, config), "extra"), preset)
        jaxmac.register_algorithm("bare", told)  # today it has one
        resumed = jaxmac.resume(out, episodes=16, env=ENV, progress=False)
        assert resumed.metrics["episodes"][:, 0].tolist() == [0, 8, 16] and "extra" not in resumed.metrics
        assert short("bare", episodes=8).metrics["extra"][-1].tolist() == [0.5, 0.5]


def telling(algorithm, *names, value=0.5):
    """The algorithm with diagnostics of this value."""

    def update(state, *rest):
        state, metrics = algorithm.update(state, *rest)
        return state, metrics | dict.fromkeys(names, value)

    return algorithm._replace(update=update, diagnostics=names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"diagnostics": ("othr",)},
            "its update has no metric 'othr', which its diagnostics name; did you mean other",
        ),
        ({"diagnostics": ("_step",)}, r"diagnostics is \('_step',\), but must be a tuple"),
        ({"diagnostics": ("errors",), "extra": "errors"}, "its diagnostic 'errors' is called like a metric"),
        ({"diagnostics": ("other",), "value": 1j}, "its other is complex64.., but must be a scalar, a real number"),
        ({"diagnostics": ("other",), "value": "word"}, "its update raised"),
        ({"diagnostics": "word"}, "diagnostics is 'word', but must be a tuple of different names"),
        ({"diagnostics": 3}, "diagnostics is 3, but must be a tuple"),
        ({"diagnostics": ("a b",)}, r"diagnostics is \('a b',\), but must be a tuple"),
        ({"diagnostics": ("loss",)}, "its diagnostic 'loss' is called like a column of every run"),
        ({"diagnostics": ("gamma",), "extra": "gamma"}, "its diagnostic 'gamma' is called like a setting"),
    ],
)
def test_names_that_cannot_be_columns_are_refused(change, message):
    with registered_only_here():
        preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}

        def make(env, config):
            made = make_bare(env, config)
            value = change.get("value", 0.5)
            return telling(made, change.get("extra", "other"), value=value)._replace(
                diagnostics=change["diagnostics"]
            )

        jaxmac.register_algorithm("bare", AlgorithmSpec(Bare, make, preset))
        for call in (short, lambda name: jaxmac.make_train(name, ENV, episodes=8)):
            with pytest.raises(ValueError, match=message):
                call("bare")


def test_a_run_needs_the_diagnostics_that_it_has(tmp_path):
    with registered_only_here():
        preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}
        make = [lambda env, config: telling(make_bare(env, config), "extra")]
        jaxmac.register_algorithm("bare", AlgorithmSpec(Bare, lambda *given: make[0](*given), preset))
        out = tmp_path / "run"
        short("bare", episodes=8, out=out)
        lines = (out / "metrics.csv").read_text().splitlines()
        assert lines[0].endswith(",epsilon,extra") and lines[-1].endswith(",0.5")
        make[0] = make_bare
        with pytest.raises(RunDirectoryError, match="run has the diagnostic 'extra', which bare no longer has"):
            jaxmac.resume(out, episodes=16, env=ENV, progress=False)
        (out / "metrics.csv").write_text("\n".join([lines[0].replace("extra", "other"), *lines[1:]]) + "\n")
        with pytest.raises(RunDirectoryError, match="it lacks the column extra"):
            jaxmac.load(out, ENV)


@pytest.mark.slow
def test_the_command_line_plots_them(tmp_path, capsys):
    jaxmac.train("avf-vdn", "BoxPushing-4", seeds=1, episodes=24, out=tmp_path / "run", progress=False, **TINY)
    assert main(["plot", str(tmp_path / "run"), "--y", "grad_norm", "--out", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").exists()
    assert main(["plot", str(tmp_path / "run"), "--y", "entropy", "--out", str(tmp_path / "y" / "x.png")]) == 2
    error = capsys.readouterr().err
    assert "run (avf-vdn): y is 'entropy', but must be one of" in error and not (tmp_path / "y").exists()


@pytest.mark.slow
def test_files_that_do_not_fit_them_are_refused(tmp_path):
    out = tmp_path / "run"
    jaxmac.train("avf-vdn", "BoxPushing-4", seeds=1, episodes=24, out=out, progress=False, **TINY)
    config, table = json.loads((out / "config.json").read_text()), (out / "metrics.csv").read_text()
    cells = table.splitlines()[-1].split(",")
    cells[table.splitlines()[0].split(",").index("q_taken")] = ""
    emptied = "\n".join([*table.splitlines()[:-1], ",".join(cells)]) + "\n"
    for changed, text, message in (
        (config, emptied, "q_taken is empty"),
        ({name: value for name, value in config.items() if name != "diagnostics"}, table, "lacks the field diag"),
        ({**config, "diagnostics": ["a\nb"]}, table, "diagnostics.0. is"),
        ({**config, "diagnostics": ["td_error", "td_error"]}, table, "has a value twice"),
    ):
        (out / "config.json").write_text(json.dumps(changed))
        (out / "metrics.csv").write_text(text)
        with pytest.raises(RunDirectoryError, match=message) as refused:
            jaxmac.load(out)
        assert "\n" not in str(refused.value)


def test_a_run_that_goes_on_in_its_process_compiles_nothing(tmp_path):
    kept = len(member_functions._programs)
    jaxmac.train("avf-vdn", "BoxPushing-4", seeds=1, episodes=24, out=tmp_path / "run", progress=False, **TINY)
    trained = len(member_functions._programs)
    jaxmac.resume(tmp_path / "run", episodes=32, progress=False)
    assert len(member_functions._programs) == trained <= kept + 1


@pytest.mark.parametrize("value", [3, True, 2.5, np.float16(1.5), np.nan, np.inf])
def test_numbers_of_any_kind_come_back(value, tmp_path):
    with registered_only_here():
        preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}
        spec = AlgorithmSpec(Bare, lambda env, config: telling(make_bare(env, config), "x", value=value), preset)
        jaxmac.register_algorithm("bare", spec)
        for out in (None, tmp_path / "run"):
            found = short("bare", episodes=8, out=out)
            np.testing.assert_array_equal(found.metrics["x"][-1], [float(value)] * 2)
        np.testing.assert_array_equal(jaxmac.load(out, ENV).metrics["x"][-1], [float(value)] * 2)


def test_groups_must_have_the_same_ones():
    with registered_only_here():
        preset = {"tuned": lambda env: {"num_envs": 4, "eval_every": 8, "eval_episodes": 2}}

        def make(env, config):
            return telling(make_bare(env, config), "x" if config.hidden_size == 4 else "y")

        jaxmac.register_algorithm("bare", AlgorithmSpec(Bare, make, preset))
        with pytest.raises(
            ValueError, match=r"has the diagnostics \['x'\] with some of the swept values and \['y'\]"
        ):
            short("bare", episodes=8, sweep={"hidden_size": [4, 8]})
