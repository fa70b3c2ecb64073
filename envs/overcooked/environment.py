"""Overcooked with macro-actions: two or three agents chop vegetables, put them on one plate and serve the salad.

* Observation: cells (row, column) of everything in view, and how far the foods are chopped; zeros elsewhere.
* Macro-actions: stay; get a food or a plate; go to a knife; deliver; chop; go to the counter between the rooms
  (maps B and C); one step right, down, left or up. All can always start; where they make no sense they last one
  step. They act on what the agent believes: where it last saw things.
* Reward: -0.1 each step, +10 for each food of the recipe that is chopped, +200 for the right salad, -5 for
  anything else that is delivered.
* End: the right salad is served.

Deterministic. Source: the Overcooked specification; "section" below means its sections.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxmac.envs.environment import Environment, EnvState, Outcome
from jaxmac.envs.overcooked import belief as memory
from jaxmac.envs.overcooked import kitchen as things
from jaxmac.envs.overcooked import macro_actions as macro
from jaxmac.envs.overcooked.belief import Belief
from jaxmac.envs.overcooked.kitchen import Kitchen
from jaxmac.envs.overcooked.layout import (
    CHOPPED,
    PLATES,
    PRIMITIVE_ACTIONS,
    RECIPES,
    ROW,
    Layout,
    fraction,
    in_view,
)
from jaxmac.envs.overcooked.planner import Planner
from jaxmac.envs.overcooked.plans import SCRIPT_STEPS, SCRIPTS

STEP_REWARD, CHOP_REWARD, SALAD_REWARD, WRONG_REWARD = -0.1, 10.0, 200.0, -5.0


@struct.dataclass
class Physics:
    """The kitchen, what the agents believe of it, and for how many steps each has been chopping, i32 `[N]`."""

    kitchen: Kitchen
    belief: Belief
    chop_count: Array


class Overcooked(Environment):
    """Overcooked with macro-actions (sections 1 to 9)."""

    def __init__(
        self,
        map_type: Literal["A", "B", "C"],
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
        for name, value, allowed in (
            ("map_type", map_type, ("A", "B", "C")),
            ("num_agents", num_agents, (2, 3)),
            ("size", size, (7, 9)),
            ("task", task, tuple(range(len(RECIPES)))),
        ):
            if isinstance(value, bool) or value not in allowed:
                raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(map(str, allowed))}")
        if isinstance(view_radius, bool) or not isinstance(view_radius, int | np.integer) or view_radius < 0:
            raise ValueError(f"view_radius is {view_radius!r}, but must be an integer of at least 0 (0: see all)")
        self.layout = Layout(map_type, size, num_agents)
        self.task, self.view_radius = task, view_radius
        self.recipe = tuple(RECIPES.values())[task]
        length = 9 + 8 + 2 * num_agents + 2 + len(RECIPES)
        super().__init__(
            action_names=[self._actions()] * num_agents,
            obs_sizes=[length] * num_agents,
            state_size=length,
            horizon=horizon,
        )
        self.planner = self._planner()
        steps = SCRIPT_STEPS[map_type]
        self.best_known_return = None if self.script() is None else self._salad_in(steps)

    def _actions(self) -> tuple[str, ...]:
        return self.layout.macro_actions

    def _planner(self) -> Planner | None:
        return Planner(self.layout.map_type, self.layout.size, self.num_agents)

    def _salad_in(self, steps: int) -> float:
        """Return of the right salad after `steps` steps, each food chopped once."""
        return SALAD_REWARD + CHOP_REWARD * len(self.recipe) + STEP_REWARD * steps

    def _script(self) -> tuple[str, bool]:
        """Name of the plan in `plans.py`, and whether these options leave its course as it is."""
        return self.layout.map_type, self.view_radius == 2

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """The best known plan without a wrong delivery, for three agents, size 7, task 6 and view radius 2."""
        name, unchanged = self._script()
        usual = unchanged and (self.num_agents, self.layout.size, self.task) == (3, 7, 6)
        return SCRIPTS[name] if usual and self.horizon >= SCRIPT_STEPS[self.layout.map_type] else None

    def initial_physics(self, key: Array) -> Physics:
        """The fixed start of section 3, and one belief update."""
        del key
        kitchen = things.start(self.layout)
        belief = memory.update(self.layout, self.view_radius, kitchen, memory.start(self.layout))
        return Physics(kitchen, belief, jnp.zeros(self.num_agents, jnp.int32))

    def transition(
        self, physics: Physics, macro_actions: Array, started: Array, noise: Any
    ) -> tuple[Physics, Outcome]:
        """Every agent picks a primitive action, the kitchen moves on, then more macro-actions end (section 8.2)."""
        del started, noise
        actions, ended, chop_count = self.primitive_actions(physics, macro_actions)
        physics, reward, terminal = self._act(physics, actions)
        ended = ended | self._per_agent(physics, macro.ends_after, macro_actions)
        return physics.replace(chop_count=chop_count), Outcome(ended, macro_actions, reward, terminal)

    def primitive_actions(self, physics: Physics, macro_actions: Array) -> tuple[Array, Array, Array]:
        """Primitive actions, ends before the move and chop counters under running macro-actions, all `[N]`."""
        targets = self._per_agent(physics, macro.target_of, macro_actions)
        planned = self._per_agent(physics, self._plan, targets)

        def choose(layout: Layout, view: macro.View, *own: Array) -> tuple[Array, Array, Array]:
            return macro.next_action(layout, self.view_radius, view, *own)

        return self._per_agent(physics, choose, macro_actions, targets, planned, physics.chop_count)

    def _plan(self, layout: Layout, view: macro.View, target: Array) -> Array:
        """The planner's first move of one agent towards `target`."""
        team = view.believed_agents
        others = [jnp.where(view.agent > j, team[j], team[j + 1]) for j in range(self.num_agents - 1)]
        return self.planner.first_move(view.here, target, view.believed_items, jnp.stack(others))

    def _act(self, physics: Physics, actions: Array) -> tuple[Physics, Array, Array]:
        """One primitive step and what the agents see of it: physics, reward, was the salad served?"""
        kitchen, events = things.step(self.layout, self.recipe, physics.kitchen, actions)
        belief = memory.update(self.layout, self.view_radius, kitchen, physics.belief)
        reward = STEP_REWARD + CHOP_REWARD * events.chopped + WRONG_REWARD * events.wrong
        reward = reward + SALAD_REWARD * events.right
        return physics.replace(kitchen=kitchen, belief=belief), reward, events.right > 0

    def _per_agent(self, physics: Physics, function: Any, *own: Array) -> Any:
        """`function(layout, view, *own)` of every agent, with `own` `[N]`."""
        kitchen, belief = physics.kitchen, physics.belief
        items = things.item_cells(kitchen)

        def one(agent: Array, here: Array, items_of: Array, agents_of: Array, *own: Array) -> Any:
            return function(self.layout, macro.View(kitchen, items, agent, here, items_of, agents_of), *own)

        agents = jnp.arange(self.num_agents)
        return jax.vmap(one)(agents, kitchen.agents, belief.items, belief.agents, *own)

    def observe(self, physics: Physics) -> Array:
        """What is in view, zeros for the rest (section 7)."""
        seen = in_view(self.view_radius, physics.kitchen.agents[:, None], self._true_cells(physics.kitchen))
        return self._vector(self._true_cells(physics.kitchen), self._true_chops(physics.kitchen), seen)

    def success(self, physics: Physics) -> Array:
        """The right salad is served: only its plate stays at the hatch."""
        plates = physics.kitchen.place[PLATES[0] :]
        return (plates == self.layout.delivery).any()

    def global_state(self, physics: Physics) -> Array:
        """Everything as it is, in the layout of the observation."""
        return self._vector(self._true_cells(physics.kitchen), self._true_chops(physics.kitchen))

    def believed(self, physics: Physics) -> Array:
        """What each agent believes, in the layout of the observation, `[N, O]`."""
        belief = physics.belief
        return self._vector(self._entities(belief.items, belief.agents), belief.chops)

    def _true_cells(self, kitchen: Kitchen) -> Array:
        return self._entities(things.item_cells(kitchen), kitchen.agents)

    def _true_chops(self, kitchen: Kitchen) -> Array:
        return fraction(kitchen.chops, CHOPPED)

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw the kitchen, what everybody sees, holds and does; see `drawing.py`."""
        from jaxmac.envs.overcooked.drawing import draw

        draw(self, state, ax)

    def _entities(self, items: Array, agents: Array) -> Array:
        """Cells in the order of section 3: items, knives, delivery, agents, i32 `[..., 8 + N]`."""
        fixed = jnp.array([*self.layout.knives, self.layout.delivery], jnp.int32)
        return jnp.concatenate([items, jnp.broadcast_to(fixed, (*items.shape[:-1], 3)), agents], -1)

    def _vector(self, cells: Array, chops: Array, seen: Array | None = None) -> Array:
        """The vector of section 7 `[..., O]` from all cells and the foods' chops; what is not `seen` is zero."""
        place = jnp.stack([fraction(cells // ROW, self.layout.size), fraction(cells % ROW, self.layout.size)], -1)
        foods, rest = jnp.concatenate([place[..., :3, :], chops[..., None]], -1), place[..., 3:, :]
        if seen is not None:
            foods, rest = foods * seen[..., :3, None], rest * seen[..., 3:, None]
        lead = rest.shape[:-2]
        task = jnp.broadcast_to(jnp.arange(len(RECIPES)) == self.task, (*lead, len(RECIPES))).astype(jnp.float32)
        return jnp.concatenate([foods.reshape(*lead, 9), rest.reshape(*lead, -1), task], -1)


class PrimitiveOvercooked(Overcooked):
    """Overcooked with the actions right, down, left, up and stay; agents observe what they believe (section 7)."""

    def _actions(self) -> tuple[str, ...]:
        return PRIMITIVE_ACTIONS

    def _planner(self) -> None:
        return None

    def _script(self) -> tuple[str, bool]:
        return f"{self.layout.map_type}-primitive", True  # nobody looks

    def transition(
        self, physics: Physics, macro_actions: Array, started: Array, noise: Any
    ) -> tuple[Physics, Outcome]:
        """Walk, handle items, look around."""
        del started, noise
        physics, reward, terminal = self._act(physics, macro_actions)
        return physics, Outcome(jnp.ones(self.num_agents, bool), macro_actions, reward, terminal)

    def observe(self, physics: Physics) -> Array:
        """What each agent believes."""
        return self.believed(physics)
