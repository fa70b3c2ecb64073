"""A small environment of unequal agents for the tests of options and adapters."""

import jax.numpy as jnp
import numpy as np

from jaxmac.envs import Environment, Outcome

NOOP, RIGHT, LEFT = range(3)


class Line(Environment):
    """Two walkers on cells 0 to 9, unequal: agent 1 has no way left and sees the time as well."""

    def __init__(self, horizon=12, state_size=3, **rest):
        super().__init__(
            action_names=[("noop", "right", "left"), ("noop", "right")],
            obs_sizes=[1, 2],
            state_size=state_size,
            horizon=horizon,
            obs_dtype=np.int8,
            **rest,
        )

    def initial_physics(self, key):
        return {"cells": jnp.array([2, 5]), "time": jnp.int32(0)}

    def transition(self, physics, macro_actions, started, noise):
        moves = (macro_actions == RIGHT) * 1 - (macro_actions == LEFT)
        cells = jnp.clip(physics["cells"] + moves, 0, 9)
        outcome = Outcome(jnp.ones(2, bool), macro_actions, 1.0 * cells[0], cells[1] == 9)
        return {"cells": cells, "time": physics["time"] + 1}, outcome

    def observe(self, physics):
        cells = physics["cells"]
        return jnp.stack([jnp.stack([cells[0], 0]), jnp.stack([cells[1], physics["time"]])])

    def global_state(self, physics):
        return jnp.append(physics["cells"], physics["time"])

    def available(self, physics):
        return super().available(physics).at[0, LEFT].set(physics["cells"][0] > 0)
