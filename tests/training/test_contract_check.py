"""Training checks the contract of environments that are not the library's own, once, unless it is told not to."""

import jax.numpy as jnp
import numpy as np
import pytest
from support.probes import Asynchronous
from support.runs import FAMILIES, TINY

import jaxmac
from jaxmac import envs
from jaxmac.cli.main import main
from jaxmac.envs import ContractError
from jaxmac.training import checks


class Endless(Asynchronous):
    """Ends by its time limit only; each step pays 1."""

    def outcome(self, physics, actions, started):
        return 1.0, jnp.bool_(False)


class NothingLeft(Endless):
    """At its time limit there is no macro-action left to choose."""

    def available(self, physics):
        return jnp.full((2, 2), physics.time < self.steps)


class Stuck(Endless):
    """In mid-episode there is no macro-action to choose."""

    def available(self, physics):
        return jnp.full((2, 2), physics.time != 1)


def train(env, algorithm="avf-qplex", **options):
    settings = {"seeds": 1, "episodes": 24, "progress": False, **FAMILIES[algorithm], **options}
    return jaxmac.train(algorithm, env, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", FAMILIES)
def test_a_time_limit_with_nothing_to_choose_is_no_reason_to_learn_from_nothing(algorithm):
    """The value of no macro-action was -1e9: avf-qplex reached a loss of 3e15 and called itself finished."""
    losses = train(NothingLeft(), algorithm).metrics["loss"][-1]
    assert (losses < 50).all() and np.isfinite(losses).all()


def test_an_environment_that_breaks_its_contract_is_not_trained_on(monkeypatch):
    monkeypatch.setattr("jaxmac.training.program.Program.compile", lambda self: pytest.fail("compiled"))
    with pytest.raises(ContractError) as error:
        train(Stuck())
    assert str(error.value) == (
        "Stuck: one must be chosen, but no macro-action is available at step 1, agent 0"
        "; check_environment=False (--no-check-environment) trains nevertheless"
    )


@pytest.fixture
def checked(monkeypatch):
    """The environments whose contract was checked; none has been before, and none keeps it."""
    found = []

    def check(env):
        found.append(env)
        raise ContractError(f"{env.name}: broken")

    monkeypatch.setattr(checks, "_checked", type(checks._checked)())
    monkeypatch.setattr(checks, "check_environment", check)
    return found


@pytest.fixture
def registered():
    jaxmac.register_environment("Mine", lambda *, steps=3: Asynchronous())
    yield "Mine"
    envs.registry.unregister("Mine")


def test_the_pure_function_is_checked_as_well(checked):
    with pytest.raises(ContractError, match="Asynchronous: broken"):
        jaxmac.make_train("avf-vdn", Asynchronous(), **TINY)
    jaxmac.make_train("avf-vdn", Asynchronous(), check_environment=False, **TINY)
    assert len(checked) == 1


def test_the_command_line_checks_unless_it_is_told_not_to(checked, registered, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("jaxmac.cli.train.use_cpu_devices", lambda count: None)
    arguments = ["train", "--env", registered, "--out", str(tmp_path / "run"), "--seeds", "1", "--episodes", "4"]
    assert main(arguments) == 2
    assert "Mine: broken; check_environment=False (--no-check-environment)" in capsys.readouterr().err
    monkeypatch.setattr("jaxmac.cli.train.train", lambda *given, check_environment, **rest: 1 / check_environment)
    with pytest.raises(ZeroDivisionError):
        main([*arguments, "--no-check-environment"])


def test_environments_of_the_library_are_not_checked_those_made_of_parts_from_outside_are(checked):
    for env in (jaxmac.make("BoxPushing-4"), jaxmac.make("Overcooked-A-primitive")):
        checks.check_contract(env, True)
    options = [envs.Option("on", lambda view: 0, lambda view: True, max_duration=2)]
    wrapped = envs.WithOptions(jaxmac.make("BoxPushing-4-primitive"), options)
    with pytest.raises(ContractError):
        checks.check_contract(wrapped, True)
    assert checked == [wrapped]


def test_environments_are_checked_once(checked, registered, monkeypatch):
    monkeypatch.setattr(checks, "check_environment", checked.append)
    for env in (Asynchronous(), Asynchronous(), jaxmac.make(registered), jaxmac.make(registered)):
        checks.check_contract(env, True)
    assert [env.name for env in checked] == ["Asynchronous", "Mine"]
    longer = Asynchronous()
    longer.horizon = 7
    checks.check_contract(longer, True)
    assert checked[2:] == [longer]


@pytest.mark.parametrize("array", [np.zeros((100, 100)), jnp.zeros((100, 100))])
def test_environments_that_differ_in_a_single_entry_of_a_map_are_both_checked(checked, monkeypatch, array):
    monkeypatch.setattr(checks, "check_environment", checked.append)
    with_map, with_other = Asynchronous(), Asynchronous()
    other = np.array(array)
    other[50, 50] = 1e-12
    with_map.map, with_other.map = array, other if isinstance(array, np.ndarray) else jnp.asarray(other)
    for env in (with_map, with_other, with_other):
        checks.check_contract(env, True)
    assert checked == [with_map, with_other]
