"""Overcooked with macro-actions: two or three agents chop vegetables, put them on one plate and serve the salad.

* Observation: cells (row, column) of everything in view, and how far the foods are chopped; zeros elsewhere.
* Macro-actions: stay; get a food or a plate; go to a knife; deliver; chop; go to the counter between the rooms
  (maps B and C); one step right, down, left or up. All can always start; where they make no sense they last one
  step. They act on what the agent believes: where it last saw items and agents.
* Reward: -0.1 each step, +10 for each food of the recipe that is chopped, +200 for the right salad, -5 for
  anything else that is delivered.
* End: the right salad is served.

Everything is deterministic.

Sources: Wu et al., "Too many cooks: Bayesian inference for coordinating multi-agent collaboration", 2021
(the task); Xiao, Tan and Amato, "Asynchronous actor-critic for multi-agent reinforcement learning",
NeurIPS 2022 (the macro-actions). Written after docs/specifications/overcooked.md, whose sections the comments name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxmac.envs.environment import Environment, EnvState, Outcome
from jaxmac.envs.overcooked.belief import initial_belief, update_belief
from jaxmac.envs.overcooked.drawing import draw_kitchen
from jaxmac.envs.overcooked.kitchen import initial_kitchen, item_cells, primitive_step
from jaxmac.envs.overcooked.layout import MAP_TYPES, PLATES, RECIPES, Layout, MapType, in_view
from jaxmac.envs.overcooked.macro_actions import View, ends_after, next_action, target_of
from jaxmac.envs.overcooked.observation import (
    entity_cells,
    multiples,
    true_cells,
    true_chops,
    vector,
    vector_length,
)
from jaxmac.envs.overcooked.planner import Planner
from jaxmac.envs.overcooked.plans import MACRO_PLANS, PLAN_STEPS, Plan
from jaxmac.envs.overcooked.state import Physics
from jaxmac.envs.rendering import draw_caption

STEP_REWARD, CHOP_REWARD, SALAD_REWARD, WRONG_REWARD = -0.1, 10.0, 200.0, -5.0


class Overcooked(Environment):
    """Overcooked with macro-actions (sections 1 to 9)."""

    _observes_beliefs = False

    def __init__(
        self,
        map_type: MapType,
        *,
        num_agents: int = 3,
        size: int = 7,
        task: int = 6,
        view_radius: int = 2,
        horizon: int = 200,
    ):
        """`task` 0 to 6 is the recipe (`layout.RECIPES`); with `view_radius` 0 everything is in view.

        Raises ValueError, in one line, for values out of range.
        """
        checks: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
            ("map_type", map_type, MAP_TYPES),
            ("num_agents", num_agents, (2, 3)),
            ("size", size, (7, 9)),
            ("task", task, tuple(range(len(RECIPES)))),
        )
        for name, value, allowed in checks:
            if isinstance(value, bool | float | np.floating) or value not in allowed:
                raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(map(str, allowed))}")
        if isinstance(view_radius, bool) or not isinstance(view_radius, int | np.integer) or view_radius < 0:
            raise ValueError(f"view_radius is {view_radius!r}, but must be an integer of at least 0 (0: see all)")
        self.layout = Layout(map_type, size, num_agents)
        self.task, self.view_radius = task, view_radius
        self.recipe = tuple(RECIPES.values())[task]
        super().__init__(
            action_names=[self._actions()] * num_agents,
            obs_sizes=[vector_length(num_agents)] * num_agents,
            state_size=vector_length(num_agents),
            horizon=horizon,
            obs_multiples=multiples(self.layout, believed=self._observes_beliefs),
            state_multiples=multiples(self.layout),
        )
        if self.script() is not None:
            self.best_known_return = self._salad_in(PLAN_STEPS[map_type])

    def _actions(self) -> tuple[str, ...]:
        return self.layout.macro_actions

    @cached_property
    def planner(self) -> Planner:
        """The planner of this kitchen; its table is loaded when it is used first."""
        return Planner(self.layout.map_type, self.layout.size, self.num_agents)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle stores: all but the planner, which is made anew."""
        return {name: value for name, value in self.__dict__.items() if name != "planner"}

    def _salad_in(self, steps: int) -> float:
        """Return of the right salad after `steps` steps, each food chopped once."""
        return SALAD_REWARD + CHOP_REWARD * len(self.recipe) + STEP_REWARD * steps

    def script(self) -> Plan | None:
        """The best known plan without a wrong delivery, for three agents, size 7, task 6 and view radius 2."""
        usual = (self.num_agents, self.layout.size, self.task) == (3, 7, 6)
        return self._plan() if usual and self.horizon >= PLAN_STEPS[self.layout.map_type] else None

    def _plan(self) -> Plan | None:
        """The plan for these kitchens, None where what the agents see would make it take another course."""
        return MACRO_PLANS[self.layout.map_type] if self.view_radius == 2 else None

    def initial_physics(self, key: PRNGKeyArray) -> Physics:
        """The fixed start of section 3, and one belief update."""
        del key
        kitchen = initial_kitchen(self.layout)
        belief = update_belief(self.layout, self.view_radius, kitchen, initial_belief(self.layout))
        return Physics(kitchen, belief, jnp.zeros(self.num_agents, jnp.int32))

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Physics, Outcome]:
        """Every agent picks a primitive action, the kitchen moves on, then more macro-actions end (section 8.2)."""
        del started, noise
        actions, ended, chop_count = self.primitive_actions(physics, macro_actions)
        physics, reward, terminal = self._act(physics, actions)
        ended = ended | self._per_agent(physics, ends_after, macro_actions)
        return physics.replace(chop_count=chop_count), Outcome(ended, macro_actions, reward, terminal)

    def primitive_actions(
        self, physics: Physics, macro_actions: Int[Array, "agents"]
    ) -> tuple[Int[Array, "agents"], Bool[Array, "agents"], Int[Array, "agents"]]:
        """Primitive actions, ends before the move and chop counters under running macro-actions."""
        targets = self._per_agent(physics, target_of, macro_actions)
        planned = self._per_agent(physics, self._first_move, targets)

        def choose(layout: Layout, view: View, *own: Array) -> tuple[Array, Array, Array]:
            return next_action(layout, self.view_radius, view, *own)

        chosen: tuple[Array, Array, Array] = self._per_agent(
            physics, choose, macro_actions, targets, planned, physics.chop_count
        )
        return chosen

    def _first_move(self, layout: Layout, view: View, target: Int[Array, ""]) -> Int[Array, ""]:
        """The planner's first move of one agent towards `target`."""
        del layout
        team = view.believed_agents
        others = [jnp.where(view.agent > j, team[j], team[j + 1]) for j in range(self.num_agents - 1)]
        return self.planner.first_move(view.here, target, view.believed_items, jnp.stack(others))

    def _act(
        self, physics: Physics, actions: Int[Array, "agents"]
    ) -> tuple[Physics, Float[Array, ""], Bool[Array, ""]]:
        """One primitive step and a look around: the physics, the reward, and whether the salad was served."""
        kitchen, events = primitive_step(self.layout, self.recipe, physics.kitchen, actions)
        belief = update_belief(self.layout, self.view_radius, kitchen, physics.belief)
        chopped, wrong, right = (jnp.asarray(count, jnp.float32) for count in events)
        reward = STEP_REWARD + CHOP_REWARD * chopped + WRONG_REWARD * wrong
        reward = reward + SALAD_REWARD * right
        return physics.replace(kitchen=kitchen, belief=belief), reward, events.right > 0

    def _per_agent(self, physics: Physics, function: Callable[..., Any], *own: Shaped[Array, "agents"]) -> Any:
        """`function(layout, view, *own)` of every agent."""
        kitchen, belief = physics.kitchen, physics.belief
        items = item_cells(kitchen)

        def one(agent: Array, here: Array, items_of: Array, agents_of: Array, *own: Array) -> Any:
            return function(self.layout, View(kitchen, items, agent, here, items_of, agents_of), *own)

        agents = jnp.arange(self.num_agents)
        return jax.vmap(one)(agents, kitchen.agents, belief.items, belief.agents, *own)

    def observe(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """What is in view, zeros for the rest (section 7)."""
        cells, chops = true_cells(self.layout, physics.kitchen), true_chops(physics.kitchen)
        visible = in_view(self.view_radius, physics.kitchen.agents[:, None], cells[None])
        return vector(self.layout, self.task, cells[None], chops[None], visible)

    def success(self, physics: Physics) -> Bool[Array, ""]:
        """Whether the right salad is served: only its plate stays at the hatch."""
        plates = physics.kitchen.place[PLATES[0] :]
        return (plates == self.layout.delivery).any()

    def global_state(self, physics: Physics) -> Float[Array, "state"]:
        """Everything as it is, in the layout of the observation."""
        cells, chops = true_cells(self.layout, physics.kitchen), true_chops(physics.kitchen)
        return vector(self.layout, self.task, cells, chops)

    def believed(self, physics: Physics) -> Float[Array, "agents obs"]:
        """What each agent believes, in the layout of the observation."""
        belief = physics.belief
        cells = entity_cells(self.layout, belief.items, belief.agents)
        return vector(self.layout, self.task, cells, belief.chops)

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw the kitchen with fields of view, items and agents, and what the agents are doing below it."""
        draw_kitchen(self.layout, self.view_radius, state.physics.kitchen, ax)
        draw_caption(self, state, ax)
