"""Judging policies: against records read by hand, in batches, greedy and sampled, in other environments."""

import dataclasses
import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.commands import refused
from support.made_runs import fresh_learners, made
from support.probes import Asynchronous
from support.runs import ON_POLICY, TINY

import jaxmac
from jaxmac import envs
from jaxmac.algorithms import configure, make_algorithm
from jaxmac.cli.main import main
from jaxmac.evaluation import episodes as evaluation
from jaxmac.hyper import hyper_of
from jaxmac.record.policy import Policy, random_policy
from jaxmac.record.rollout import rollout, rollout_to_end

GO_SMALL, GO_LEFT, PUSH, STAY = 0, 2, 4, 7


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two members that differ in their discount, with learners as they begin."""
    out = tmp_path_factory.mktemp("runs") / "run"
    result = made(out, "avf-vdn", env_options={"horizon": 12}, seeds=1, sweep={"gamma": [0.9, 0.5]}, **TINY)
    result.learners |= fresh_learners(result)
    return result


def planned(*plans):
    """Agent i takes its plan's entries one primitive step after the other; more plans are for more episodes."""
    table = jnp.array(plans)  # [agents, time] or [episodes, agents, time]
    table = table if table.ndim == 3 else table[None]

    def act(key, carry, ts, epsilon):
        return carry, jnp.broadcast_to(table, (*ts.ended.shape, table.shape[-1]))[:, :, ts.time[0]]

    return Policy(lambda batch: (), act)


def test_a_learner_may_hold_random_keys(run):
    keys = jax.random.split(jax.random.key(3), 2)
    learners = {0: {"key": keys}}
    assert dataclasses.replace(run, learners=learners).learned(1).learner["key"] == keys[1]


def test_the_numbers_are_those_of_the_record():
    env = envs.make("BoxPushing-4", horizon=25)
    found = evaluation.evaluate_policy(env, random_policy(), 40, seed=3, gamma=0.5)
    play = jax.jit(lambda key: rollout_to_end(env, random_policy(), key, jnp.zeros(40)))
    record, _ = jax.device_get(play(jax.random.fold_in(jax.random.key(3), 0)))
    returns, discounted, lengths = [], [], []
    completed = [{name: [] for name in names} for names in env.action_names]
    unfinished = [dict.fromkeys(names, 0) for names in env.action_names]
    for e in range(40):
        steps = int(record.mask[e].sum())
        returns.append(record.reward[e, :steps].sum())
        discounted.append((record.reward[e, :steps] * 0.5 ** np.arange(steps)).sum())
        lengths.append(steps)
        for agent, names in enumerate(env.action_names):
            running_for = 0
            for t in range(steps):
                running_for += 1
                name = names[record.macro_action[e, t, agent]]
                if record.ended[e, t, agent]:
                    completed[agent][name].append(running_for)
                    running_for = 0
            unfinished[agent][name] += running_for > 0
    assert found["mean"] == pytest.approx(np.mean(returns), rel=1e-5)
    assert found["std"] == pytest.approx(np.std(returns), rel=1e-5)
    assert found["discounted_mean"] == pytest.approx(np.mean(discounted), rel=1e-5)
    assert found["length"] == np.mean(lengths) and found["episodes"] == 40
    for agent, names in enumerate(env.action_names):
        for name in names:
            one, all_of_them = found["durations"][agent][name], completed[agent][name]
            assert one["unfinished"] == unfinished[agent][name]
            assert one["completed"] == len(all_of_them) == sum(one["histogram"].values())
            assert one["histogram"] == {k: all_of_them.count(k) for k in sorted(set(all_of_them))}
            assert one["mean"] == pytest.approx(np.mean(all_of_them)) if all_of_them else np.isnan(one["mean"])
    assert max(found["durations"][0]["push"]["histogram"]) > 1 and sum(sum(u.values()) for u in unfinished) > 10


def test_a_macro_action_that_the_end_cuts_off_has_no_duration():
    late = evaluation.evaluate_policy(Asynchronous(), planned([0, 0, 0], [0, 1, 1]), 4)
    whole = {"completed": 12, "mean": 1.0, "histogram": {1: 12}, "unfinished": 0}
    none = {"completed": 0, "mean": pytest.approx(np.nan, nan_ok=True), "histogram": {}, "unfinished": 0}
    assert late["durations"][0] == {"a0": whole, "a1": none}
    assert late["durations"][1]["a0"] == {**whole, "completed": 4, "histogram": {1: 4}}
    assert late["durations"][1]["a1"] == {**none, "unfinished": 4}
    early = evaluation.evaluate_policy(Asynchronous(), planned([1, 1, 1], [1, 0, 0]), 4, gamma=0.5)
    assert early["durations"][1]["a1"] == {"completed": 4, "mean": 3.0, "histogram": {3: 4}, "unfinished": 0}
    assert (early["mean"], early["std"], early["length"]) == (7.0, 0.0, 3.0)
    assert early["discounted_mean"] == 0.5 + 0.25 * 6
    assert early["success"] is early["success_low"] is None  # the probe does not say


def test_success_is_the_big_box_whatever_it_pays():
    env = envs.make("BoxPushing-4", horizon=12, big_box_reward=0.0, horizon_is_terminal=True)
    big = [[GO_LEFT] * 2 + [PUSH] * 10, [GO_LEFT + 1] * 2 + [PUSH] * 10]
    small, idle = [[GO_SMALL] + [PUSH] * 11, [STAY] * 12], [[STAY] * 12] * 2
    found = evaluation.evaluate_policy(env, planned(big, small, idle), 3)
    steps, paid = np.array([4, 3, 12]), np.array([0.0, 10.0, 0.0])
    assert found["length"] == pytest.approx(steps.mean())
    assert found["mean"] == pytest.approx((paid - 0.1 * steps).mean(), rel=1e-5)
    assert found["success"] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_any_number_of_episodes_is_played_exactly_in_batches(monkeypatch):
    monkeypatch.setattr(evaluation, "LARGEST_BATCH", 3)
    env = Asynchronous()
    parts = evaluation.evaluate_policy(env, random_policy(), 7, seed=1)
    assert parts["episodes"] == 7
    play = jax.jit(lambda key: rollout_to_end(env, random_policy(), key, jnp.zeros(3))[0])
    records = [play(jax.random.fold_in(jax.random.key(1), batch)) for batch in range(3)]
    returns = np.concatenate([record.undiscounted_return for record in records])[:7]
    assert parts["mean"] == pytest.approx(returns.mean()) and parts["std"] == pytest.approx(returns.std())
    started = np.concatenate([((r.elapsed[:, :-1] == 0) & r.mask[..., None]).sum(axis=1) for r in records])[:7]
    for agent, actions in enumerate(parts["durations"]):
        chosen = sum(found["completed"] + found["unfinished"] for found in actions.values())
        assert chosen == started[:, agent].sum()
    again = evaluation.evaluate_policy(env, random_policy(), 7, seed=1)
    assert again["mean"] == parts["mean"] and again["durations"][0]["a0"] == parts["durations"][0]["a0"]
    assert evaluation.evaluate_policy(env, random_policy(), 7, seed=2)["durations"] != parts["durations"]


def test_intervals():
    mean, low, high = evaluation.mean_interval(np.array([1.0, 2.0, 3.0, 6.0]))
    # t with three degrees of freedom is 3.1824 at 97.5 %; the standard error of these is sqrt(14 / 3) / 2.
    assert mean == 3.0 and high - mean == pytest.approx(3.1824 * (14 / 3) ** 0.5 / 2, rel=1e-4)
    assert mean - low == pytest.approx(high - mean)
    assert np.isnan(evaluation.mean_interval(np.ones(1))[1:]).all()
    share, low, high = evaluation.share_interval(np.array([True] * 9 + [False]))
    assert share == 0.9 and (low, high) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # Wilson's
    means = np.random.default_rng(0).normal(size=(500, 12))
    covered = [low < 0 < high for _, low, high in map(evaluation.mean_interval, means)]
    assert 0.92 < np.mean(covered) < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["mac-cac", "mac-iac"])
def test_an_actor_critic_is_sampled_or_greedy(algorithm):
    env = Asynchronous()
    config = configure(algorithm, "tuned", env, ON_POLICY)
    built, hyper = make_algorithm(algorithm, env, config), hyper_of(config)
    sampled = built.evaluation(jax.jit(built.init)(jax.random.key(0), hyper), hyper)
    greedy = evaluation._greedy_or_sampled(sampled, True, algorithm)
    assert (
        evaluation._greedy_or_sampled(sampled, False, algorithm)
        is evaluation._greedy_or_sampled(sampled, None, algorithm)
        is sampled
    )

    def first_choices(policy):
        play = jax.jit(lambda epsilon: rollout_to_end(env, policy, jax.random.key(1), jnp.full(512, epsilon))[0])

        def shares(epsilon):  # of the joint macro-actions
            chosen = np.asarray(play(epsilon).macro_action[:, 0])
            return np.bincount(2 * chosen[:, 0] + chosen[:, 1], minlength=4) / 512

        return shares

    drawn, best = first_choices(sampled)(0.0), first_choices(greedy)
    assert best(0.0).max() == 1.0 and best(0.0).argmax() == drawn.argmax() and drawn.max() < 0.9
    np.testing.assert_allclose(best(1.0), 0.25, atol=0.08)  # four standard errors


@pytest.mark.slow
def test_every_member_is_evaluated_by_itself(run):
    rows = jaxmac.evaluate(run, 6, seed=1)
    assert [(row["member"], row["seed"], row["gamma"]) for row in rows] == [(0, 0, 0.9), (1, 0, 0.5)]
    assert json.dumps(rows[1:]) == json.dumps(jaxmac.evaluate(run, 6, seed=1, member=1))
    algorithm = run.learned(0).algorithm
    play = jax.jit(
        lambda *learned: rollout(run.env, algorithm.evaluation(*learned), jax.random.key(0), jnp.zeros(1))
    )
    for index, row in enumerate(rows):  # greedy and nothing random: one episode again and again
        record = jax.device_get(play(*run.learned(index)[2:]))
        rewards = record.reward[0, : record.length[0]]
        assert row["std"] == 0 and row["mean"] == pytest.approx(rewards.sum(), rel=1e-5)
        powers = row["gamma"] ** np.arange(len(rewards))
        assert row["discounted_mean"] == pytest.approx((rewards * powers).sum(), rel=1e-5)
    # The same episode six times has every duration six times, exploring ones differ.
    (exploring,) = jaxmac.evaluate(run, 6, seed=1, member=1, epsilon=1.0)
    counts = [[found["completed"] % 6 for found in row["durations"][0].values()] for row in (rows[1], exploring)]
    assert not any(counts[0]) and any(counts[1])


def test_the_best_learner_is_another_one(run):
    (best,) = jaxmac.evaluate(run, 6, member=0, best=True)
    swapped = jaxmac.Result(**{**vars(run), "learners": {0: run.learners[0, "best"]}})
    (known,) = jaxmac.evaluate(swapped, 6, member=0)
    (last,) = jaxmac.evaluate(run, 6, member=0)
    assert json.dumps(best) == json.dumps(known) != json.dumps(last)


def test_pictures_show_the_learner_that_is_asked_for(run, monkeypatch):
    for name in ("animate", "timeline"):
        monkeypatch.setattr(f"jaxmac.runs.result.{name}", lambda env, policy, *_: policy)
    monkeypatch.setattr(jaxmac.Result, "policy", lambda self, member, best: (member, best))
    for show in (run.render, run.timeline):
        assert show(1) == (1, False) and show(0, best=True) == (0, True)


def test_the_environment_to_evaluate_in(run):
    chosen = evaluation.evaluation_environment
    assert chosen(run) is run.env
    other = chosen(run, env_options={"penalty": -5.0})
    assert (other.horizon, other.penalty, other.size) == (12, -5.0, 4)  # the run's own options stay
    assert (chosen(run, "BoxPushing-6").horizon, chosen(run, "BoxPushing-6").size) == (
        100,
        6,
    )  # another id: its own
    assert chosen(run, "BoxPushing-6", {"horizon": 9}).horizon == 9
    env = envs.make("BoxPushing-8")
    assert chosen(run, env) is env


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "episodes is 0, but must be an integer >= 1"),
        ({"episodes": 1.5}, "episodes is 1.5, but must be"),
        ({"epsilon": 1.5}, "epsilon is 1.5, but must be >= 0 and <= 1"),
        ({"epsilon": "0.1"}, "epsilon is '0.1', but must be >= 0 and <= 1"),
        ({"epsilon": np.array([0.1, 0.2])}, r"epsilon is array\(\[0.1, 0.2\]\), but must be"),
        ({"member": 2}, "member is 2, but must be from 0 to 1"),
        ({"greedy": False}, "avf-vdn has no probabilities to sample from"),
        ({"env": "Warehouse-D"}, "Warehouse-D has number of agents 3, the policy needs 2, as BoxPushing-4 has"),
        ({"env": "BoxPushing-4-primitive"}, r"macro-actions \(4, 4\), the policy needs \(8, 8\)"),
        ({"env": "BoxPushing-5"}, "must be even"),
        ({"env_options": {"horizn": 3}}, "did you mean horizon"),
    ],
)
def test_bad_questions_are_one_line(run, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        inspect.unwrap(jaxmac.evaluate)(run, **{"episodes": 2, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("member", ["0", 0.0, -1, True])
def test_a_member_is_an_index(run, member):
    with pytest.raises(ValueError, match=f"member is {member!r}, but must be from 0 to 1"):
        inspect.unwrap(jaxmac.Result.learned)(run, member)


def test_an_instance_cannot_be_rebuilt_with_other_options(run):
    result = jaxmac.Result(**{**vars(run), "config": {**run.config, "env_rebuildable": False}})
    with pytest.raises(ValueError, match="pass env="):
        jaxmac.evaluate(result, 2, env_options={"horizon": 3})
    with pytest.raises(ValueError, match="env_options go with an environment id"):
        jaxmac.evaluate(run, 2, env=envs.make("BoxPushing-4"), env_options={"horizon": 3})


def test_command_line(run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("jaxmac.evaluation.episodes.load", lambda path: run)
    out = str(run.path)
    assert main(["eval", out, "--episodes", "1", "--env-options.horizon", "5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["length"] for row in rows] == [5, 5] and rows[0]["low"] is None  # one episode has no interval
    assert list(rows[0]["durations"][1]) == list(run.env.action_names[1])
    assert main(["eval", out, "--episodes", "6", "--member", "1", "--best", "--durations"]) == 0
    shown = capsys.readouterr().out
    assert "6 episodes each" in shown and "cut off" in shown
    (row,) = jaxmac.evaluate(run, 6, member=1, best=True)
    assert f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in shown and f"{row['length']:.2f}" in shown
    chosen = [name for name, found in row["durations"][0].items() if found["completed"] or found["unfinished"]]
    assert all(name in shown for name in chosen) and len(chosen) < 8
    assert main(["eval", "--env", "BoxPushing-4", "--episodes", "3", "--json"]) == 0
    (scripted,) = json.loads(capsys.readouterr().out)
    assert (scripted["policy"], scripted["success"]) == ("scripted", 1.0)
    assert scripted["mean"] == pytest.approx(envs.make("BoxPushing-4").optimal_return, abs=1e-4)


def test_bad_questions_on_the_command_line(run, capsys, monkeypatch):
    monkeypatch.setattr("jaxmac.evaluation.episodes.load", lambda path: run)
    out = str(run.path)
    assert "--policy is for --env without a run" in refused(capsys, "eval", out, "--policy", "random")
    assert "give a run directory" in refused(capsys, "eval")
    assert "unknown policy 'scriptd'; did you mean scripted?" in refused(
        capsys, "eval", "--env", "BoxPushing-4", "--policy", "scriptd"
    )
    assert "has no scripted policy" in refused(capsys, "eval", "--env", "CaptureTarget-2-primitive")
    assert "did you mean --env-options.horizon" in refused(capsys, "eval", out, "--env-options.horizn", "3")
    assert "no probabilities" in refused(capsys, "eval", out, "--greedy", "False")


def test_runs_are_explored_as_in_the_evaluations_of_training_unless_told_otherwise(tmp_path, monkeypatch):
    result = made(tmp_path / "run", "avf-vdn", seeds=1, **TINY, eval_epsilon=0.25)
    result.learners |= fresh_learners(result)
    chances = []
    monkeypatch.setattr(evaluation, "_play_all", lambda *given: chances.append(given[-1]))
    monkeypatch.setattr(evaluation, "_summary", lambda *given: {})
    for options in ({}, {"epsilon": 0.0}, {"epsilon": 0.5}):
        evaluation.evaluate(result, 10, **options)
    assert chances == [0.25, 0.0, 0.5]
