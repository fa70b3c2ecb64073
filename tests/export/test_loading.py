"""Exported policies read back act as the policies that were exported."""

import inspect
import json
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.exported import CASES, made, recorded
from support.selection import slow_except

import jaxmac
from jaxmac.errors import RunNote
from jaxmac.export.loading import OLDER_MEANINGS, load_policy
from jaxmac.record.rollout import rollout

LOADED = [name for name in CASES if not name.startswith("parallel")]
SCALE = {"tomacvf-shared": 0.5}  # of the parameters drawn: with larger ones it repeats one macro-action


@pytest.mark.parametrize("name", slow_except(["avf"], LOADED))
def test_a_loaded_policy_plays_the_episodes_of_the_exported_one(name, tmp_path):
    env, policy, out = made(name, tmp_path, SCALE.get(name, 1.2))
    loaded = load_policy(out, env)
    greedy = policy._replace(act=policy.act_greedily or policy.act)
    episodes = [
        jax.jit(lambda key, policy=each: rollout(env, policy, key, jnp.zeros(6)))(jax.random.key(3))
        for each in (greedy, loaded)
    ]
    assert len(np.unique(episodes[0].macro_action)) > 1
    for name in ("macro_action", "mask", "reward"):
        np.testing.assert_array_equal(*(getattr(episode, name) for episode in episodes))


@pytest.mark.parametrize("name", slow_except(["tomacvf"], ["avf", "tomacvf", "tomacvf-stale"]))
def test_hidden_states_are_those_of_the_exported_policy(name, tmp_path):
    env, policy, out = made(name, tmp_path, 0.5)
    (_, exported, _), (_, loaded, _) = (recorded(env, each, seed=1) for each in (policy, load_policy(out, env)))
    np.testing.assert_allclose(np.stack(loaded, axis=2), exported, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["avf", "mac-cen-q"])
def test_it_explores_as_the_policy_that_was_exported(name, tmp_path):
    """Each agent for itself, but a controller for all at once."""
    env, policy, out = made(name, tmp_path)
    played = [
        jax.jit(lambda key, policy=each: rollout(env, policy, key, jnp.full(6, 0.5)))(jax.random.key(3))
        for each in (policy, load_policy(out, env))
    ]
    np.testing.assert_array_equal(played[0].macro_action, played[1].macro_action)


def test_with_epsilon_it_explores(tmp_path):
    env, _, out = made("avf", tmp_path)
    loaded = load_policy(out, env)
    played = [
        jax.jit(rollout, static_argnums=(0, 1))(env, loaded, jax.random.key(0), jnp.full(8, epsilon))
        for epsilon in (0.0, 1.0)
    ]
    used = [len(np.unique(np.asarray(episode.macro_action)[np.asarray(episode.mask)])) for episode in played]
    assert used[1] == env.max_actions > used[0]


def test_a_policy_of_another_environment_comes_with_a_note(tmp_path):
    env, _, out = made("avf", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RunNote)
        load_policy(out, env)
    with pytest.warns(RunNote, match=r"was trained on BoxPushing-4 with horizon=\d+; it plays BoxPushing-6$"):
        load_policy(out, jaxmac.make("BoxPushing-6"))
    with pytest.warns(RunNote, match=r"was trained on BoxPushing-4 with horizon=\d+; it plays BoxPushing-4$"):
        load_policy(out, jaxmac.make("BoxPushing-4", horizon=77))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("policy.json", b"{", r"policy.json is not an exported policy, or damaged \(JSONDecodeError: "),
        ("policy.json", b'{"lr": 1}', "policy.json has format None, but must have 1: export the policy again"),
        ("policy.json", b'{"format": 2}', "policy.json has format 2, but must have 1"),
        ("policy.json", b'{"format": 1}', r"policy.json is not an exported policy, or damaged \(KeyError: "),
        ("weights.npz", b"PK not a zip", "weights.npz is not an exported policy, or damaged"),
        ("weights.npz", b"", r"weights.npz is not an exported policy, or damaged \(EOFError"),
        ("weights.npz", None, "weights.npz cannot be read: No such file or directory"),
    ],
)
def test_damaged_and_foreign_files_are_named(tmp_path, file, content, message):
    env, _, out = made("avf", tmp_path)
    path = out / "agent_0" / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refused:
        load_policy(out, env)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.pop("environment"), r"damaged \(KeyError: 'environment'\)"),
        (lambda about: about.update(agent=5), r"damaged \(ValueError: agent 5 of 2 agents\)"),
        (lambda about: about.update(agent="0"), r"damaged \(ValueError: agent '0' of 2 agents\)"),
        (lambda about: about.update(team=True), r"damaged \(ValueError: agent 0, team True\)"),
        (lambda about: about["environment"].update(options=3), r"damaged \(ValueError: environment \{"),
        (lambda about: about["arguments"].pop("observation"), r"damaged \(KeyError: 'observation'\)"),
        (lambda about: about.update(agent=True), r"damaged \(ValueError: agent True of 2 agents\)"),
        (lambda about: about.update(when="sometimes"), r"damaged \(ValueError: when 'sometimes'\)"),
        (lambda about: about["arguments"].update(foo={}), r"damaged \(ValueError: argument 'foo'\)"),
        (lambda about: about["inputs"][0].update(argument="foo"), r"damaged \(ValueError: argument 'foo'\)"),
        (lambda about: about["inputs"][0].update(encoding="foo"), r"damaged \(ValueError: encoding 'foo'\)"),
        (
            lambda about: about["layers"][0].update(negative_slope=0.5),
            "ValueError: negative_slope 0.5",
        ),
        (lambda about: about["arguments"]["observation"].update(meaning="foo"), "ValueError: meaning 'foo'"),
        (lambda about: about.update(macro_actions=3), "ValueError: 3 is not a list"),
        (lambda about: about.update(agents=9), r"was trained on BoxPushing-4 with agents 9; BoxPushing-4 has 2$"),
    ],
)
def test_a_description_that_was_edited_is_named(tmp_path, change, message):
    env, _, out = made("avf", tmp_path)
    path = out / "agent_0" / "policy.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))
    with pytest.raises(ValueError, match=message) as refused:
        load_policy(out, env)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x | {"decode.kernel": x["decode.kernel"][1:]}, r"decode.kernel has the shape \(\d+, \d+\), but"),
        (lambda x: {k: v for k, v in x.items() if k != "decode.bias"}, "decode.bias is missing"),
        (lambda x: x | {"encode_0.kernel": x["encode_0.kernel"][1:]}, "encode_0.kernel has the shape"),
        (
            lambda x: x | {"decode.bias": x["decode.bias"] * np.nan},
            "decode.bias has values that are not finite",
        ),
        (lambda x: x | {"decode.bias": x["decode.bias"].astype(str)}, "decode.bias has values that are not finite"),
        (lambda x: x | {"more.bias": x["decode.bias"]}, r"more.bias is not a weight of the network"),
    ],
)
def test_weights_of_another_network_are_named(tmp_path, change, message):
    env, _, out = made("avf", tmp_path)
    path = out / "agent_0" / "weights.npz"
    with np.load(path) as file:
        changed = change(dict(file))
    np.savez(path, **changed)
    with pytest.raises(ValueError, match=message) as refused:
        load_policy(out, env)
    assert "\n" not in str(refused.value)


def test_what_older_policies_said_of_their_observation_is_known(tmp_path):
    env, _, out = made("avf", tmp_path)
    path = out / "agent_0" / "policy.json"
    about = json.loads(path.read_text())
    about["arguments"]["observation"]["meaning"] = OLDER_MEANINGS[0]
    path.write_text(json.dumps(about))
    load_policy(out, env)


def test_an_agent_has_one_policy(tmp_path):
    env, _, out = made("avf", tmp_path)
    shutil.copytree(out / "agent_0", out / "copy")
    with pytest.raises(ValueError, match=r"has policies of the agents \[0, 0, 1\], but must have one of each"):
        load_policy(out, env)


def test_what_is_no_policy_for_this_environment_is_refused(tmp_path):
    env, _, out = made("avf", tmp_path)
    for wrong, words in (
        ((None, env), "folder is None, but must be a path"),
        ((out, "BoxPushing-4"), "env is 'BoxPushing-4', but must be an Environment"),
    ):
        with pytest.raises(ValueError, match=words):
            inspect.unwrap(load_policy)(*wrong)
    with pytest.raises(ValueError, match="holds no exported policy"):
        load_policy(tmp_path / "nothing", env)
    with pytest.raises(ValueError, match=r"trained on BoxPushing-4 with agents 2; Warehouse-T has 3"):
        load_policy(out, jaxmac.make("Warehouse-T"))
    shutil.rmtree(out / "agent_1")
    with pytest.raises(ValueError, match=r"lacks the policies of agents \[1\]"):
        load_policy(out, env)
    about = json.loads((out / "agent_0/policy.json").read_text())
    about["macro_actions"][0] = "fly"
    (out / "agent_0/policy.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"macro-actions .*fly"):
        load_policy(out, env)
