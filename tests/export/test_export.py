"""Exported policies: NumPy alone, and StableHLO alone, choose what the trained networks choose."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.commands import refused
from support.exported import CASES, EPISODES, HORIZON, QUICK, asked, made, recorded, runner_of
from support.runs import TINY, env_with_an_id

import jaxmac
from jaxmac import envs
from jaxmac.cli.main import main
from jaxmac.export.folder import RUNNER, export_policy, write_policy
from jaxmac.record.policy import random_policy
from jaxmac.runs.directory import RunDirectoryError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(
    scope="module", params=[*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in CASES if n not in QUICK)]
)
def case(request, folder):
    return made(request.param, folder)


def test_numpy_and_stablehlo_choose_what_the_networks_choose(case):
    env, policy, out = case
    played = recorded(env, policy, seed=1)
    decisions, chosen, rng = 0, set(), np.random.default_rng(0)
    for found in sorted(out.iterdir()):
        runner = runner_of(found)
        about, hidden = runner.about, None
        agents = slice(None) if about["team"] else [about["agent"]]
        exported = jax.export.deserialize(bytearray((found / "policy.jax_export").read_bytes()))
        compiled = jax.jit(exported.call)
        for episode in range(EPISODES):
            runner.reset()
            hidden = runner.hidden
            for time in range(HORIZON):
                ts, carry, choice = jax.tree.map(lambda x, t=time, e=episode: x[t, e], played)
                if ts.terminal | ts.truncated:
                    break
                given = asked(about, env, ts)
                if given is None:
                    continue
                if episode % 2:
                    some = rng.random(shape := np.shape(given["available"])) < 0.7
                    given["available"] = some | (np.arange(shape[-1]) == 0)
                by_numpy = np.atleast_1d(runner.act(**given))
                by_xla, hidden, outputs = compiled(hidden, *(np.asarray(x) for x in as_declared(about, given)))
                memory = carry[0 if about["team"] else about["agent"]]
                np.testing.assert_allclose(runner.hidden, memory, atol=5e-5)
                np.testing.assert_allclose(hidden, memory, atol=5e-5)
                must = ts.ended[agents]
                np.testing.assert_array_equal(np.atleast_1d(by_xla), by_numpy)
                np.testing.assert_allclose(outputs, runner.outputs, rtol=1e-4, atol=1e-3)
                if episode % 2:  # fewer were available than in the environment
                    continue
                np.testing.assert_array_equal(by_numpy[must], choice[agents][must])
                decisions += must.sum()
                chosen |= {(found.name, index, m) for index, m in enumerate(by_numpy.tolist()) if must[index]}
    assert decisions > 2 * EPISODES * env.num_agents
    assert len({each[0] for each in chosen}) < len(chosen)  # no constant policies


def as_declared(about, given):
    """Arguments in the order and with the dtypes of policy.json."""
    return [np.asarray(given[name], wanted["dtype"]) for name, wanted in about["arguments"].items()]


def test_logits_are_drawn_as_the_actor_draws(tmp_path):
    env, policy, out = made("mac-iac", tmp_path, scale=0.4)
    draws, rng, ts = 2000, np.random.default_rng(0), jax.jit(env.reset)(jax.random.key(0))[1]
    batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (draws, *x.shape)), ts)
    wanted = np.asarray(
        jax.jit(policy.act)(jax.random.key(1), policy.initial_carry(draws), batch, jnp.zeros(draws))[1]
    )
    for agent in range(env.num_agents):
        runner, found = runner_of(out / f"agent_{agent}"), []
        for _ in range(draws):
            runner.reset()
            found.append(runner.act(rng, observation=np.asarray(ts.obs[agent])))
        shares = [np.bincount(x, minlength=env.max_actions) / draws for x in (found, wanted[:, agent])]
        assert np.abs(shares[0] - shares[1]).max() < 0.05
        assert (shares[1] > 0.02).sum() > 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two seeds on disk, on an environment with an id."""
    with env_with_an_id():
        out = tmp_path_factory.mktemp("runs") / "run"
        yield jaxmac.train("avf-vdn", "Asynchronous", seeds=2, out=out, episodes=48, progress=False, **TINY)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export_policy(run, 1, tmp_path_factory.mktemp("policies") / "policy")


@pytest.mark.slow
def test_a_run_is_exported_with_where_it_comes_from(run, exported, tmp_path):
    about = json.loads((exported / "agent_1" / "policy.json").read_text())
    wanted = {"algorithm": "avf-vdn", "member": 1, "seed": 1, "agent": 1, "agents": 2, "at_best_evaluation": False}
    assert wanted.items() <= about.items()
    assert about["environment"] == {"id": "Asynchronous", "options": run.env.options}
    assert about["macro_actions"] == list(run.env.action_names[1])
    params = run.policy(1).networks.params["params"]
    with np.load(exported / "agent_1" / "weights.npz", allow_pickle=False) as weights:
        np.testing.assert_array_equal(weights["memory.weight"], params["memory"]["weight"][1])
    best = export_policy(run.path, 1, tmp_path / "best", best=True)
    params = run.policy(1, best=True).networks.params["params"]
    with np.load(best / "agent_0" / "weights.npz", allow_pickle=False) as weights:
        np.testing.assert_array_equal(weights["decode.kernel"], params["decode"]["kernel"][0])


PROGRAM = """
import sys
for name in ("jax", "jaxlib", "flax", "jaxmac", "envs", "scipy"):
    sys.modules[name] = None
from run_policy import Policy
policy = Policy(".")
shape = policy.about["arguments"]["observation"]["shape"]
print([policy.act(observation=[float(k)] * shape[0]) for k in range(5)], policy.hidden.tolist())
"""


def test_it_runs_where_there_is_no_jax(exported, tmp_path):
    alone = shutil.copytree(exported / "agent_0", tmp_path / "robot")
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=alone, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    policy = runner_of(exported / "agent_0")
    size = policy.about["arguments"]["observation"]["shape"][0]
    chosen = [policy.act(observation=np.full(size, k)) for k in range(5)]
    assert done.stdout == f"{chosen} {policy.hidden.tolist()}\n"


def test_what_is_passed_wrongly_is_named_in_one_line(exported, tmp_path):
    policy = runner_of(exported / "agent_0")
    size = policy.about["arguments"]["observation"]["shape"][0]
    for given, words in (
        ({"observation": np.zeros(size + 1)}, f"observation has shape [{size + 1}]: this policy needs float32 of"),
        ({}, "observation is missing"),
        ({"observation": np.zeros(size), "available": [True]}, "available has shape [1]"),
        ({"observation": np.zeros(size), "obs": 1}, "unknown argument obs; known: observation, available"),
    ):
        with pytest.raises(ValueError) as error:
            policy.act(**given)
        assert str(error.value).startswith(words) and "\n" not in str(error.value)
    assert not policy.hidden.any()
    newer = shutil.copytree(exported / "agent_0", tmp_path / "newer")
    (newer / "policy.json").write_text(json.dumps(policy.about | {"format": 2}))
    with pytest.raises(ValueError, match=r"has format 2, this runner reads 1"):
        runner_of(newer)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_overwritten_unasked_and_nothing_is_left_half(run, exported, tmp_path, monkeypatch):
    out = shutil.copytree(exported, tmp_path / "policy")
    before = contents(out)
    with pytest.raises(OSError, match=r"already holds an exported policy: .*--overwrite"):
        export_policy(run, 0, out)
    with monkeypatch.context() as patch:
        patch.setattr(
            "jaxmac.export.folder.serialise", lambda network: (_ for _ in ()).throw(OSError(28, "No space left"))
        )
        for folder in (out, tmp_path / "other"):
            with pytest.raises(OSError, match=r"cannot write .*: No space left"):
                export_policy(run, 0, folder, overwrite=True)
    assert contents(out) == before
    assert list(tmp_path.iterdir()) == [out]
    assert export_policy(run, 0, out, overwrite=True) == out
    assert contents(out).keys() == before.keys() and contents(out) != before
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(OSError, match="holds other things than an exported policy"):
        export_policy(run, 0, out, overwrite=True)
    with pytest.raises(OSError, match="is a file"):
        export_policy(run, 0, out / "thesis.txt", overwrite=True)
    assert (out / "thesis.txt").read_text() == "mine"


def test_the_command_line_exports_and_refuses_in_one_line(run, exported, tmp_path, capsys):
    out = tmp_path / "new" / "policy"
    assert main(["export", str(run.path), "--member", "1", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / "agent_0"), str(out / "agent_1")]
    assert {k: v for k, v in contents(out).items() if k.suffix == ".json"} == {
        k: v for k, v in contents(exported).items() if k.suffix == ".json"
    }
    other = ["--out", str(tmp_path / "none")]
    assert "but must be from 0 to 1" in refused(capsys, "export", str(run.path), "--member", "2", *other)
    assert "is not a run directory" in refused(capsys, "export", str(tmp_path), *other)
    assert "already holds" in refused(capsys, "export", str(run.path), "--out", str(out))
    assert not (tmp_path / "none").exists()


def test_a_policy_without_nets_is_refused(tmp_path):
    env = envs.make("BoxPushing-4")
    with pytest.raises(ValueError, match="the policy of chance has no recurrent networks to export"):
        write_policy(random_policy(), env, tmp_path / "policy", {"algorithm": "chance"})


def test_a_run_without_a_checkpoint_is_refused(run, tmp_path):
    bare = shutil.copytree(run.path, tmp_path / "bare", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(RunDirectoryError):
        export_policy(bare, 0, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


class Robot:
    """Agent 0 of a simulated team: what the example of docs/export.md calls."""

    def __init__(self, env):
        self.env, self.step, self.started = env, jax.jit(env.step), []
        self.state, self.ts = jax.jit(env.reset)(jax.random.key(0))

    def finished(self):
        return bool(self.ts.terminal | self.ts.truncated)

    def must_choose(self):
        return bool(self.ts.ended[0])

    def observation(self):
        return np.asarray(self.ts.obs[0])

    def available(self):
        return np.asarray(self.ts.avail[0])

    def start(self, name):
        self.started.append(self.env.action_names[0].index(name))

    def wait_one_step(self):
        self.state, self.ts = self.step(jax.random.key(0), self.state, jnp.array([self.started[-1], 0]))


def test_the_documents_examples_run(run, exported, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    monkeypatch.chdir(exported / "agent_0")
    monkeypatch.syspath_prepend(exported / "agent_0")
    names = {"robot": Robot(run.env)}
    exec(compile(code, "docs/export.md", "exec"), names)
    assert names["robot"].started == played_by(run, Robot(run.env))
    assert names["hidden"].shape == (TINY["hidden_size"],)
    assert "own macro-action has ended" in capsys.readouterr().out


def played_by(run, robot):
    """What the trained policy lets agent 0 do in the same episode."""
    policy = run.policy(1)
    act, carry = jax.jit(policy.act), policy.initial_carry(1)
    while not robot.finished():
        ts = jax.tree.map(lambda x: x[None], robot.ts)
        carry, chosen = act(jax.random.key(0), carry, ts, jnp.zeros(1))
        if robot.must_choose():
            robot.started.append(int(chosen[0, 0]))
        robot.wait_one_step()
    return robot.started


def test_the_runner_refuses_what_no_robot_should_act_on(exported):
    policy = runner_of(exported / "agent_0")
    given = {name: np.zeros(about["shape"]) for name, about in policy.about["arguments"].items()}
    with pytest.raises(ValueError, match=r"^no macro-action is available$"):
        policy.act(**given | {"available": np.zeros_like(given["available"])})
    with pytest.raises(ValueError, match=r"^observation is not finite"):
        policy.act(**given | {"available": given["available"] + 1, "observation": given["observation"] + np.nan})
    with pytest.raises(ValueError, match=r"^there is no .*policy.json: name the folder of one agent or team$"):
        type(policy)(exported)


def test_the_runner_imports_numpy_and_json_only():
    imports = [line for line in RUNNER.read_text().splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import json", "import numpy as np"]
