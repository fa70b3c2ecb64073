"""How the policy that is evaluated is chosen: `eval_target`, whose parameters it has, and `eval_epsilon`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
import jaxmac
from jaxmac.algorithms import configure, make_algorithm
from jaxmac.hyper import hyper_of, static_view
from jaxmac.record.rollout import rollout

ENV = envs.make("BoxPushing-4")
ACTING = ("avf-qmix", "mac-dec-q", "tomacvf-qmix", "mac-cen-q", "mac-dec-ddrqn")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ACTING)
def test_the_target_networks_act_in_evaluations_and_nowhere_else(algorithm):
    configs = [configure(algorithm, "tuned", ENV, {"eval_target": on, "hidden_size": 8}) for on in (False, True)]
    hyper = hyper_of(configs[0])
    online, target = (make_algorithm(algorithm, ENV, static_view(config)) for config in configs)

    @jax.jit
    def played(first_key, second_key):
        first, second = (online.init(key, hyper) for key in (first_key, second_key))
        learner = first.replace(target=second.params)
        policies = (
            online.evaluation(second, hyper),
            target.evaluation(learner, hyper),
            online.evaluation(learner, hyper),
            target.behaviour(learner, hyper, target.streams[-1]),
            online.behaviour(first, hyper, online.streams[-1]),
        )
        greedy = jnp.zeros(8, jnp.float32)
        return [rollout(ENV, policy, jax.random.key(2), greedy).macro_action for policy in policies]

    of_target, evaluated, of_online, behaviour, as_before = map(
        np.asarray, played(jax.random.key(0), jax.random.key(1))
    )
    assert not np.array_equal(of_target, of_online)
    np.testing.assert_array_equal(evaluated, of_target)
    np.testing.assert_array_equal(behaviour, as_before)


@pytest.mark.slow
def test_with_an_evaluation_epsilon_of_one_the_evaluation_is_random_play():
    settings = {"num_envs": 4, "eval_episodes": 512, "hidden_size": 8, "learning_starts": 64, "batch_size": 4}
    sweep = {"eval_epsilon": [0.0, 1.0]}
    result = jaxmac.train("avf-vdn", ENV, seeds=[3], sweep=sweep, episodes=4, progress=False, **settings)
    greedy, random = (result.metrics["eval_return"][:, member] for member in (0, 1))
    played = jaxmac.evaluate_policy(ENV, jaxmac.random_policy(), 2048)
    assert greedy.max() < played["mean"] - 2, "an untrained policy repeats itself"
    assert abs(random.mean() - played["mean"]) < 1.5
