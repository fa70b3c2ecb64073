"""Policies with a memory from outside: exported for JAX, read back with the module that registers it."""

import json
import re
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.commands import refused
from support.exported import EPISODES, HORIZON, asked, made, recorded
from support.registries import registered_only_here

from jaxmac.cli.main import main
from jaxmac.config import setting
from jaxmac.errors import RunNote
from jaxmac.export.folder import write_policy
from jaxmac.export.loading import load_policy, read_team
from jaxmac.networks import MEMORIES
from jaxmac.networks.memory import register_memory
from jaxmac.record.rollout import rollout

NO_RUNNER = "ignore:run_policy.py does not implement:jaxmac.errors.RunNote"


class TwoSums(nn.Module):
    """A recurrent layer that the exported runner does not implement: two running sums, with a layer of its own."""

    size: int
    fading: float = setting(0.5, "share of the sums that is kept", low=0.0, high=1.0)

    @property
    def carry_size(self):
        return 2 * self.size

    @nn.compact
    def __call__(self, hidden, inputs, advance):
        added = nn.Dense(2 * self.size, name="input")(inputs)

        def step(before, entry):
            after = jnp.where(entry[1][:, None], self.fading * before + entry[0], before)
            return after, jnp.tanh(after[:, : self.size] * after[:, self.size :])

        return jax.lax.scan(step, hidden, (added, advance))


@pytest.fixture
def sums():
    with registered_only_here():
        register_memory("sums", TwoSums)
        yield


@pytest.fixture
def exported(sums, tmp_path):
    with pytest.warns(
        RunNote, match=r"^run_policy.py does not implement the memory of .*: policy.jax_export runs it"
    ):
        return made("avf", tmp_path, memory="sums", fading=0.25)


def test_stablehlo_chooses_what_the_networks_choose(exported):
    env, policy, out = exported
    played, decisions = recorded(env, policy, seed=1), 0
    for agent in range(env.num_agents):
        folder = out / f"agent_{agent}"
        assert {file.name for file in folder.iterdir()} == {"policy.json", "weights.npz", "policy.jax_export"}
        about = json.loads((folder / "policy.json").read_text())
        assert about["hidden"]["shape"] == [16]
        act = jax.jit(jax.export.deserialize(bytearray((folder / "policy.jax_export").read_bytes())).call)
        for episode in range(EPISODES):
            hidden = np.zeros(16, np.float32)
            for time in range(HORIZON):
                ts, carry, choice = jax.tree.map(lambda x, t=time, e=episode: x[t, e], played)
                if ts.terminal | ts.truncated:
                    break
                if (given := asked(about, env, ts)) is None:
                    continue
                declared = (np.asarray(given[name], wanted["dtype"]) for name, wanted in about["arguments"].items())
                chosen, hidden, _ = act(hidden, *declared)
                np.testing.assert_allclose(hidden, carry[agent], atol=5e-5)
                assert chosen == choice[agent]
                decisions += 1
    assert decisions > 2 * EPISODES * env.num_agents


def test_it_is_read_back_with_its_settings(exported):
    env, policy, out = exported
    key, none = jax.random.key(3), jnp.zeros(6)
    played = [jax.jit(partial(rollout, env, each))(key, none) for each in (policy, load_policy(out, env))]
    np.testing.assert_array_equal(played[0].macro_action, played[1].macro_action)
    assert len(np.unique(played[0].macro_action)) > 1
    assert [network.network.memory.keywords for network in read_team(out, env)] == [{"fading": 0.25}] * 2


@pytest.mark.filterwarnings(NO_RUNNER)
def test_without_its_module_it_is_refused(tmp_path):
    with registered_only_here():
        register_memory("sums", TwoSums)
        env, policy, out = made("avf", tmp_path, memory="sums")
    with pytest.raises(ValueError, match=rf"agent_0/policy.json: its memory 'sums' .* --plugin {__name__}$"):
        load_policy(out, env)
    change(out, module="__main__")
    with pytest.raises(ValueError, match=r"'sums' is not registered: a script or notebook registered it"):
        load_policy(out, env)
    with pytest.raises(ValueError, match=r"^memory TwoSums cannot be exported: it has no name"):
        write_policy(policy, env, tmp_path / "nameless", {"algorithm": "avf"})
    assert not (tmp_path / "nameless").exists()


def test_another_memory_of_the_same_name_comes_with_a_note(exported):
    env, _, out = exported
    change(out, versions={f"plugin {__name__}": "0123456789ab"})
    with pytest.warns(RunNote, match=rf"the file of {__name__} has changed: the policy may act differently"):
        load_policy(out, env)
    change(out, module="elsewhere")
    with pytest.warns(RunNote, match=rf"memory 'sums' is that of {__name__}, not of elsewhere: the policy may"):
        load_policy(out, env)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": "a\nb"}, r"memory 'sums' of the module 'a\\nb'"),
        ({"module": ["a"]}, r"memory 'sums' of the module \['a'\]"),
        ({"memory": 3}, "memory 3 of the module"),
        ({"size": 0}, "size 0 of a memory"),
        ({"size": 10**30}, "size 10+ of a memory"),
        ({"size": 9}, r"hidden has the shape \[16\], but must have \[18\]"),
        ({"settings": {"fading": 2.0}}, "fading"),
        ({"settings": {"faded": 1.0}}, r"memory 'sums' has no setting 'faded'; did you mean fading\?"),
        ({"settings": None}, "settings None"),
        ({"kind": "other"}, "it has no recurrent layer, several, or one of an unknown kind"),
    ],
)
def test_damaged_layers_are_named(exported, changes, message):
    env, _, out = exported
    change(out, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load_policy(out, env)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden": {"shape": [1]}}, "decode.kernel has the shape"),
        ({"hidden": {"shape": [10**13]}}, "hidden"),
        ({"hidden": {"shape": [8, 8]}}, "hidden has the shape"),
        ({"num_actions": [0]}, "num_actions"),
    ],
)
def test_sizes_that_do_not_fit_are_named(tmp_path, changes, named):
    env, _, out = made("avf", tmp_path)
    path = out / "agent_0" / "policy.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path.parent))}/.* is not .* {named} "):
        load_policy(out, env)


@pytest.mark.filterwarnings(NO_RUNNER)
def test_a_memory_that_fails_is_named(exported):
    env, _, out = exported

    class Failing(TwoSums):
        def __call__(self, hidden, inputs, advance):
            raise RuntimeError("no such luck")

    MEMORIES.unregister("sums")
    register_memory("sums", Failing)
    with pytest.raises(ValueError, match="its memory raised RuntimeError: no such luck"):
        load_policy(out, env)


@pytest.mark.filterwarnings(NO_RUNNER)
def test_the_command_line_takes_the_module(exported, capsys):
    _, _, out = exported
    words = [
        "eval",
        "--env",
        "BoxPushing-4",
        "--env-options.horizon",
        "30",
        "--policy",
        str(out),
        "--episodes",
        "2",
    ]
    assert main([*words, "--plugin", __name__]) == 0
    assert "2 episodes each" in capsys.readouterr().out
    MEMORIES.unregister("sums")
    assert f"--plugin {__name__}" in refused(capsys, *words)


def change(out, **changes):
    """Write other values into the memory's layer of every policy.json."""
    for path in out.glob("*/policy.json"):
        about = json.loads(path.read_text())
        layer = next(layer for layer in about["layers"] if layer["name"] == "memory")
        layer |= changes
        path.write_text(json.dumps(about))
