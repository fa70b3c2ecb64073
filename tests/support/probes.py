"""Tiny MacDec-POMDPs with known optimal values, for learning tests that take seconds."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxmac.envs.environment import Environment, Outcome


@struct.dataclass
class Physics:
    """Everything a probe needs: time, a coin drawn at reset, what each agent runs and for how long still."""

    time: Any
    coin: Any
    running: Any  # i32 [N]
    left: Any  # i32 [N] steps until the running macro-action ends


class Probe(Environment):
    """Two agents; macro-action a of agent i lasts `durations[i][a]` steps."""

    durations = ((1, 1), (1, 1))
    steps = 1
    state_entries = 1

    def __init__(self, **options):
        names = [[f"a{k}" for k in range(len(d))] for d in self.durations]
        super().__init__(
            action_names=names, obs_sizes=(2, 2), state_size=self.state_entries, horizon=self.steps, **options
        )

    def initial_physics(self, key):
        coin = jax.random.bernoulli(key, jnp.float32(0.5)).astype(jnp.int32)
        none = jnp.zeros(self.num_agents, jnp.int32)
        return Physics(jnp.int32(0), coin, none, none)

    def transition(self, physics, macro_actions, started, noise):
        widest = max(len(d) for d in self.durations)
        table = jnp.array([tuple(d) + (1,) * (widest - len(d)) for d in self.durations], jnp.int32)
        fresh = table[jnp.arange(self.num_agents), macro_actions]
        left = jnp.where(started, fresh, physics.left) - 1
        reward, terminal = self.outcome(physics, macro_actions, started)
        after = Physics(physics.time + 1, physics.coin, macro_actions, left)
        return after, Outcome(left == 0, macro_actions, jnp.float32(reward), terminal)

    def outcome(self, physics, actions, started):
        """Reward and whether the episode ends with this step."""
        raise NotImplementedError

    def observe(self, physics):
        return jnp.broadcast_to(jnp.stack([jnp.float32(physics.time), jnp.float32(1)]), (2, 2))

    def global_state(self, physics):
        return jnp.float32(physics.time)[None]


class Additive(Probe):
    """One step, synchronous: reward a_0 + 2 a_1. Optimum 3; every mixer can represent it."""

    best = 3.0

    def outcome(self, physics, actions, started):
        return actions[0] + 2.0 * actions[1], jnp.bool_(True)


class Monotonic(Probe):
    """One step, synchronous: only both agents together are paid (an AND). Optimum 4; beyond a sum, QMIX's."""

    best = 4.0

    def outcome(self, physics, actions, started):
        return 4.0 * jnp.all(actions == 1), jnp.bool_(True)


class Crossed(Probe):
    """One step, synchronous, not monotonic: 8 or 4 for the same macro-action, -6 for different ones. Optimum 8;
    its values are QPLEX's alone."""

    best = 8.0

    def outcome(self, physics, actions, started):
        return jnp.array([[8.0, -6.0], [-6.0, 4.0]])[actions[0], actions[1]], jnp.bool_(True)


class Asynchronous(Probe):
    """Agent 1's long macro-action (3 steps, then 6) against three short ones (1 each, together 3); agent 0 gains
    1 by its second choice only. Optimum 7 undiscounted over the 3 steps."""

    durations = ((1, 1), (1, 3))
    steps = 3
    best = 7.0

    def outcome(self, physics, actions, started):
        last = physics.time == 2
        long_done = (actions[1] == 1) & last & (physics.left[1] == 1) & ~started[1]
        short = actions[1] == 0
        own = (actions[0] == 1) & (physics.time == 1)
        return 6.0 * long_done + 1.0 * short + 1.0 * own, last


class RunningOn(Probe):
    """Only the conditional arg max solves it.

    Coin 0: agent 1 may choose macro-action 1, worth 10 at once. Coin 1: it may only choose 0, which runs for two
    steps; agent 0 either stops (2, end) or goes on and gets 1 in the next step, while agent 1 is still running. An
    arg max that lets the running agent 1 switch to its macro-action 1 sees 10 behind going on. Optimum 10 or 2.
    """

    durations = ((1, 1), (2, 1))
    steps = 2

    def available(self, physics):
        choice = (physics.coin == 0) | (physics.time > 0)
        return jnp.stack([jnp.ones(2, bool), jnp.stack([jnp.bool_(True), choice])])

    def observe(self, physics):
        seen = jnp.stack([jnp.float32(physics.time), jnp.float32(physics.coin)])
        return jnp.stack([seen, jnp.ones(2)])  # agent 1 sees nothing of it

    def global_state(self, physics):
        return jnp.float32(physics.coin)[None]

    def outcome(self, physics, actions, started):
        first, stop = physics.time == 0, actions[0] == 0
        reward_coin0 = 10.0 * (actions[1] == 1)
        reward_coin1 = jnp.where(first, 2.0 * stop, 1.0)
        over = jnp.where(physics.coin == 0, True, stop | ~first)
        return jnp.where(physics.coin == 0, reward_coin0, reward_coin1), over


class FadedCoin(Probe):
    """Only the joint macro-state solves it: the state shows a coin in the first step alone.

    Agent 1 starts a two-step macro-action under the coin; agent 0 chooses again in the second step (action 1 is
    worth 1). The team is paid +-`stake` by the coin besides. Only the macro-state of agent 1 explains that noise.
    """

    durations = ((1, 1), (2, 2))
    steps = 2
    best = 1.0
    stake = 100.0
    state_entries = 2

    def global_state(self, physics):
        shown = jnp.where(physics.time == 0, 2 * physics.coin - 1, 0)
        return jnp.stack([jnp.float32(shown), jnp.float32(physics.time)])

    def outcome(self, physics, actions, started):
        last = physics.time == 1
        return last * (self.stake * (2 * physics.coin - 1) + (actions[0] == 1)), last
