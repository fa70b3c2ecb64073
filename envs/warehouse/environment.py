"""Warehouse Tool Delivery: mobile robots and a manipulator bring humans the tools they need, in time.

* Agents: M mobile robots, then one manipulator. H humans work through phases and need one tool between two.
* Macro-actions of a robot: go to the work area of human h, go to the tool room, get a tool at its table point.
  Of the manipulator: wait (1 step), pass the oldest staged tool to robot i (4), search for tool k (6 steps).
* Observation of a robot: where it stands, the phase of the human there, its basket, how many tools are staged
  (in the tool room only). Of the manipulator: the staged tools, which robots are at the table.
* Reward: -1 each step, +100 for a tool delivered, `late_penalty` on top if the human had to wait for it,
  -10 for a pass that fails.
* End: every human has the tool of its last phase.

Sources: Xiao, Hoffman, Xia and Amato, "Learning multi-robot decentralized macro-action-based policies via a
centralized Q-net", ICRA 2020; Xiao, Tan and Amato, "Asynchronous actor-critic for multi-agent reinforcement
learning", NeurIPS 2022. Written after docs/specifications/warehouse.md, whose sections and quirks (section 11) the
comments name.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxmac.envs.arguments import check_option
from jaxmac.envs.environment import Environment, EnvState, Outcome
from jaxmac.envs.multiples import Multiples
from jaxmac.envs.rendering import draw_caption
from jaxmac.envs.warehouse.drawing import draw_warehouse
from jaxmac.envs.warehouse.humans import phase_time, work_on
from jaxmac.envs.warehouse.layout import (
    CAPACITY,
    FAILED_PASS,
    PASS_STEPS,
    SEARCH_STEPS,
    STEP,
    Layout,
    check_phase_times,
)
from jaxmac.envs.warehouse.manipulator import finish, staged_tools, work
from jaxmac.envs.warehouse.mobiles import deliver, drive
from jaxmac.envs.warehouse.optimum import upper_bound
from jaxmac.envs.warehouse.plans import Plan
from jaxmac.envs.warehouse.state import Humans, Manipulator, Mobiles, Physics
from jaxmac.envs.warehouse.variants import published_plan

FASTEST = 1_000_000  # metres per step; distances count in centimetres, in an int32
WIDTH, HEIGHT = 7.0, 5.0  # quirk 8: what places are divided by in the global state, whatever the layout


class Warehouse(Environment):
    """Warehouse Tool Delivery with macro-actions (sections 1 to 12; any `Layout`).

    `best_known_return` is what `script` earns, undiscounted; None where there is no script.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        horizon: int = 150,
        mobile_speed: float = 0.8,
        human_speeds: tuple[tuple[int, ...], ...] | None = None,
        late_penalty: float = -20.0,
        horizon_is_terminal: bool = False,
    ):
        """`mobile_speed` is in metres per step; `human_speeds` are each human's phase times (None: the layout's).

        Raises ValueError, in one line, for values out of range.
        """
        if not isinstance(layout, Layout):
            raise ValueError(f"layout is {layout!r}, but must be a Layout (such as LAYOUTS['D'])")
        check_option("mobile_speed", mobile_speed, float)
        if not 0.01 <= mobile_speed <= FASTEST:
            allowed = f"at least 0.01 and at most {FASTEST} metres per step"
            raise ValueError(f"mobile_speed is {mobile_speed!r}, but must be {allowed}")
        check_option("late_penalty", late_penalty, float)
        if human_speeds is not None:
            check_phase_times("human_speeds", human_speeds, layout.num_humans, layout.num_phases)
        self.layout, self.mobile_speed, self.late_penalty = layout, float(mobile_speed), float(late_penalty)
        phase_times = layout.phase_times if human_speeds is None else human_speeds
        self.phase_times = np.array(phase_times, np.int32)  # [humans, phases]
        self.num_humans, self.num_mobiles, self.num_tools = layout.num_humans, layout.num_mobiles, layout.num_tools
        self.go_to_tool_room, self.get_tool = layout.go_to_tool_room, layout.get_tool
        h, m, k, phases = self.num_humans, self.num_mobiles, self.num_tools, layout.num_phases
        super().__init__(
            action_names=_action_names(layout),
            obs_sizes=[h + 3 + phases * h + k + 2] * m + [k + m],
            state_size=2 * (m + 1) + k * m + 2 * k + 1 + (phases + 1) * h,
            horizon=horizon,
            horizon_is_terminal=horizon_is_terminal,
            obs_dtype=np.uint8,
            state_multiples=_state_multiples(layout),
        )
        self._plan = self._applicable_plan()
        if self._plan is not None:
            bound = upper_bound(layout, self.phase_times, self.mobile_speed, self.late_penalty, self.horizon)
            self.best_known_return = self._plan.earns
            self.optimal_return = self._plan.earns if self._plan.earns >= bound else None

    def _applicable_plan(self) -> Plan | None:
        """The layout's plan where the options are those it was made for and the time suffices."""
        plan = published_plan(self.layout)
        as_planned = self.mobile_speed == 0.8 and self.late_penalty == -20.0
        as_planned &= np.array_equal(self.phase_times, self.layout.phase_times)
        return plan if plan and as_planned and self.horizon >= plan.steps else None

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """The best plan known: for each agent its choices one after the other; None where there is none."""
        return None if self._plan is None else self._plan.choices

    def initial_physics(self, key: PRNGKeyArray) -> Physics:
        """The fixed start of section 4."""
        del key
        h, m, k = self.num_humans, self.num_mobiles, self.num_tools
        x, y = jnp.array(self.layout.robots, jnp.float32).T
        zero, no = jnp.int32(0), jnp.zeros(h, bool)
        return Physics(
            Mobiles(x, y, jnp.full(m, -1, jnp.int32), jnp.zeros(m, jnp.int32), jnp.zeros((m, k), jnp.int32)),
            Manipulator(
                zero - 1, zero, jnp.bool_(False), jnp.full(CAPACITY, -1, jnp.int32), jnp.zeros(k, jnp.int32)
            ),
            Humans(jnp.zeros(h, jnp.int32), jnp.array(self.phase_times[:, 0]), no, no, no),
        )

    def transition(
        self, physics: Physics, macro_actions: Int[Array, "agents"], started: Bool[Array, "agents"], noise: Any
    ) -> tuple[Physics, Outcome]:
        """Robots move and deliver, the manipulator works, then the humans (section 5)."""
        del noise
        actions, action = macro_actions[:-1], macro_actions[-1]
        mobiles, ended = self._drive(physics.mobiles, actions)
        mobiles, humans, reward = deliver(self.layout, self.late_penalty, mobiles, physics.humans, actions)
        manipulator = self._work(physics.manipulator, mobiles, action, started[-1])
        manipulator, mobiles, passed, failed = finish(self.layout, manipulator, mobiles, actions, action)
        ended = jnp.append(ended | passed, manipulator.left == 0)
        humans = work_on(self.phase_times, humans)
        reward = reward + STEP + FAILED_PASS * failed.astype(jnp.float32)
        outcome = Outcome(ended, macro_actions, reward, humans.served.all())
        return Physics(mobiles, manipulator, humans), outcome

    def _drive(self, mobiles: Mobiles, actions: Int[Array, "robots"]) -> tuple[Mobiles, Bool[Array, "robots"]]:
        return drive(self.layout, self.mobile_speed, mobiles, actions)

    def _work(
        self, manipulator: Manipulator, mobiles: Mobiles, action: Int[Array, ""], starts: Bool[Array, ""]
    ) -> Manipulator:
        return work(self.layout, manipulator, mobiles, action, starts)

    def observe(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """What each agent perceives (section 9); a robot between two waypoints perceives no location."""
        mobiles, manipulator, humans = physics.mobiles, physics.manipulator, physics.humans
        m, h = self.num_mobiles, self.num_humans
        at, inside = self._location(mobiles)
        phases = jax.nn.one_hot(humans.phase, self.layout.num_phases, dtype=bool)
        phase_there = (at[:, :h, None] & phases[None]).reshape(m, -1)
        count = (manipulator.staged >= 0).sum()
        staged = inside[:, None] & (count == jnp.arange(1, CAPACITY + 1))[None]
        of_mobiles = jnp.concatenate([at, phase_there, mobiles.basket, staged], axis=1)
        tools = staged_tools(self.layout, manipulator)
        of_manipulator = jnp.concatenate([tools, mobiles.place == self.get_tool])[None]
        return jnp.concatenate([self._padded(of_mobiles), self._padded(of_manipulator)])

    def observe_initial(self, physics: Physics) -> Shaped[Array, "agents obs"]:
        """As `observe`, with the entry "nowhere yet" of the robots."""
        nowhere = (physics.mobiles.place < 0).astype(self.obs_dtype)
        return self.observe(physics).at[: self.num_mobiles, self.num_humans + 2].set(nowhere)

    def _location(self, mobiles: Mobiles) -> tuple[Bool[Array, "robots places"], Bool[Array, "robots"]]:
        """One-hot waypoint of each robot, and whether it sees the staged tools."""
        at = jax.nn.one_hot(mobiles.place, self.num_humans + 3, dtype=bool)
        return at, mobiles.place >= self.num_humans

    def _padded(self, rows: Shaped[Array, "rows entries"]) -> Shaped[Array, "rows obs"]:
        return jnp.pad(rows.astype(self.obs_dtype), ((0, 0), (0, self.obs_size - rows.shape[1])))

    def success(self, physics: Physics) -> Bool[Array, ""]:
        """Whether every human has had all its tools, be it late."""
        return physics.humans.served.all()

    def global_state(self, physics: Physics) -> Float[Array, "state"]:
        """Places, baskets, staged tools, tool in hand, the manipulator's progress, the humans (section 12)."""
        mobiles, manipulator, humans = physics.mobiles, physics.manipulator, physics.humans
        m, (x, y) = self.num_mobiles, self.layout.manipulator
        places = jnp.stack([jnp.append(mobiles.x, x) / WIDTH, jnp.append(mobiles.y, y) / HEIGHT], axis=1)
        running = manipulator.left > 0
        passes = (manipulator.macro > 0) & (manipulator.macro <= m)
        in_hand = running & passes & (manipulator.staged[0] == jnp.arange(self.num_tools))
        status = manipulator.left / jnp.where(passes, PASS_STEPS, SEARCH_STEPS)
        phases = jax.nn.one_hot(humans.phase, self.layout.num_phases, dtype=bool)
        progress = humans.left / phase_time(self.phase_times, humans.phase)
        progress = progress if self.layout.shows_time_left else 1 - progress
        progress = jnp.where(humans.left >= 0, progress, -1)
        of_humans = jnp.concatenate([phases, progress[:, None]], axis=1)
        tools = staged_tools(self.layout, manipulator)
        parts = (places, mobiles.basket, tools, in_hand, status, of_humans)
        return jnp.concatenate([jnp.ravel(part).astype(jnp.float32) for part in parts])

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw the warehouse with its robots and humans, and what the agents are doing below it."""
        draw_warehouse(self.layout, self.phase_times, state.physics, ax)
        draw_caption(self, state, ax)


def _state_multiples(layout: Layout) -> Multiples:
    """Tools and phases are counted; places, the manipulator's progress and that of the humans are any numbers."""
    h, m, k = layout.num_humans, layout.num_mobiles, layout.num_tools
    any_number, counted = (0.0,), (1.0,)
    of_human = counted * layout.num_phases + any_number
    unit = any_number * 2 * (m + 1) + counted * (m + 2) * k + any_number + of_human * h
    return Multiples(unit, largest=max(CAPACITY, *layout.stock))


def _action_names(layout: Layout) -> list[tuple[str, ...]]:
    """Names of the macro-actions of every agent, the manipulator last (section 1)."""
    areas = (f"go to area {i}" for i in range(layout.num_humans))
    passes = (f"pass to robot {i}" for i in range(layout.num_mobiles))
    searches = (f"search {tool}" for tool in layout.tools)
    of_mobile = (*areas, "go to tool room", "get tool")
    return [of_mobile] * layout.num_mobiles + [("wait", *passes, *searches)]
