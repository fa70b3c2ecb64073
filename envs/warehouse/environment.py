"""Warehouse Tool Delivery: mobile robots and a manipulator bring humans the tools they need, in time.

* Agents: M mobile robots, then one manipulator. H humans work through phases and need one tool between two.
* Macro-actions of a mobile: go to the work area of human h, go to the tool room, get a tool at its table point.
  Of the manipulator: wait (1 step), pass the oldest staged tool to robot i (4), search for tool k (6 steps).
* Observation of a mobile: where it stands, the phase of the human there, its basket, how many tools are staged
  (in the tool room only). Of the manipulator: the staged tools, which robots are at the table.
* Reward: -1 each step, +100 for a tool delivered, `late_penalty` on top if the human had to wait for it,
  -10 for a pass that fails.
* End: every human has the tool of its last phase.

Source: the Warehouse specification; "section" below means its sections, "quirk" those of its section 11.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxmac.envs.environment import Environment, EnvState, Outcome
from jaxmac.envs.warehouse.layout import (
    CAPACITY,
    FAILED_PASS,
    ON_TIME,
    PASS_STEPS,
    SEARCH_STEPS,
    STEP,
    Layout,
    check_phase_times,
)
from jaxmac.envs.warehouse.optimum import upper_bound
from jaxmac.envs.warehouse.plans import Plan

WIDTH, HEIGHT = 7.0, 5.0  # quirk 8: what places are divided by in the global state, whatever the layout


@struct.dataclass
class Mobiles:
    """The mobile robots, each field `[M]`, `basket` `[M, K]`."""

    x: Array  # f32: metres
    y: Array  # f32
    place: Array  # i32: waypoint it stands at (index of the macro-action that goes there), -1 on the way
    timer: Array  # i32: 1 on the way, else minus the number of steps it has waited at the table
    basket: Array  # i32: tools of each kind


@struct.dataclass
class Manipulator:
    """The manipulator and the tools around it."""

    macro: Array  # i32 []: macro-action it runs or ran last, -1 before the first
    left: Array  # i32 []: steps until that ends, 0 when done
    failed: Array  # bool []: the running pass started without its robot at the table
    staged: Array  # i32 [2]: first in, first out; -1 is empty
    found: Array  # i32 [K]: tools ever taken from the store


@struct.dataclass
class Humans:
    """The humans, each field `[H]`."""

    phase: Array  # i32: 0 to L-1
    left: Array  # i32: steps left of the phase, below 0 while waiting too long
    got: Array  # bool: has the tool for the next phase; stays True in the last phase
    finished: Array  # bool: all phases done
    served: Array  # bool: has had the tool for the last phase


@struct.dataclass
class Physics:
    """All that moves."""

    mobiles: Mobiles
    manipulator: Manipulator
    humans: Humans


class Warehouse(Environment):
    """Warehouse Tool Delivery with macro-actions (sections 1 to 12), for any `Layout`.

    `best_known_return` is what `script` earns, undiscounted; None where there is no script.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        horizon: int = 150,
        mobile_speed: float = 0.8,
        human_speeds: tuple[tuple[int, int, int, int], ...] | None = None,
        late_penalty: float = -20.0,
        horizon_is_terminal: bool = False,
    ):
        """`mobile_speed` is in metres per step; `human_speeds` are H rows of L phase times (None: the layout's).

        Raises ValueError, in one line, for values out of range.
        """
        if not isinstance(layout, Layout):
            raise ValueError(f"layout is {layout!r}, but must be a Layout (such as LAYOUTS['D'])")
        if not (math.isfinite(mobile_speed) and mobile_speed >= 0.01):
            raise ValueError(f"mobile_speed is {mobile_speed!r}, but must be at least 0.01 metres per step")
        if not math.isfinite(late_penalty):
            raise ValueError(f"late_penalty is {late_penalty!r}, but must be a finite number")
        if human_speeds is not None:
            check_phase_times("human_speeds", human_speeds, layout.num_humans, layout.num_phases)
        self.layout, self.mobile_speed, self.late_penalty = layout, float(mobile_speed), float(late_penalty)
        phase_times = layout.phase_times if human_speeds is None else human_speeds
        self.phase_times = np.array(phase_times, np.int32)  # [H, L]
        self.num_humans, self.num_mobiles, self.num_tools = layout.num_humans, layout.num_mobiles, layout.num_tools
        self.tool_room, self.get_tool = self.num_humans, self.num_humans + 1  # macro-actions and waypoints
        h, m, k, phases = self.num_humans, self.num_mobiles, self.num_tools, layout.num_phases
        of_mobile = (*(f"go to area {i}" for i in range(h)), "go to tool room", "get tool")
        of_manipulator = (
            "wait",
            *(f"pass to robot {i}" for i in range(m)),
            *(f"search {tool}" for tool in layout.tools),
        )
        super().__init__(
            action_names=[of_mobile] * m + [of_manipulator],
            obs_sizes=[h + 3 + phases * h + k + 2] * m + [k + m],
            state_size=2 * (m + 1) + k * m + 2 * k + 1 + (phases + 1) * h,
            horizon=horizon,
            horizon_is_terminal=horizon_is_terminal,
            obs_dtype=np.uint8,
        )
        self._plan = self._applicable_plan()
        self.best_known_return = self._plan and self._plan.earns
        if self._plan:
            bound = upper_bound(layout, self.phase_times, self.mobile_speed, self.late_penalty, self.horizon)
            self.optimal_return = self._plan.earns if self._plan.earns >= bound else None

    def _applicable_plan(self) -> Plan | None:
        """The layout's plan where the options are those it was made for and the time suffices."""
        plan = self.layout.plan
        as_planned = self.mobile_speed == 0.8 and self.late_penalty == -20.0
        as_planned &= np.array_equal(self.phase_times, self.layout.phase_times)
        return plan if plan and as_planned and self.horizon >= plan.steps else None

    def script(self) -> tuple[tuple[int, ...], ...] | None:
        """The best plan known: for each agent its choices one after the other; None where there is none."""
        return self._plan and self._plan.choices

    def initial_physics(self, key: Array) -> Physics:
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
        self, physics: Physics, macro_actions: Array, started: Array, noise: Any
    ) -> tuple[Physics, Outcome]:
        """Mobiles move and deliver, the manipulator works, then the humans (section 5)."""
        del noise
        actions, action = macro_actions[:-1], macro_actions[-1]
        mobiles, done = self._drive(physics.mobiles, actions)
        mobiles, humans, reward = self._deliver(mobiles, physics.humans, actions)
        manipulator = self._work(physics.manipulator, mobiles, action, started[-1])
        manipulator, mobiles, passed, failed = self._finish(manipulator, mobiles, actions, action)
        ended = jnp.append(done | passed, manipulator.left == 0)
        humans = self._live(humans)
        reward = reward + STEP + FAILED_PASS * failed
        outcome = Outcome(ended, macro_actions, reward, humans.served.all())
        return Physics(mobiles, manipulator, humans), outcome

    def _target(self, actions: Array) -> tuple[Array, Array]:
        """Where each robot drives to, x and y `[M]`."""
        x, y = jnp.array(self.layout.table_points, jnp.float32).T
        for a, (px, py) in enumerate((*self.layout.work_areas, self.layout.tool_room)):
            x, y = jnp.where(actions == a, px, x), jnp.where(actions == a, py, y)
        return x, y

    def _drive(self, mobiles: Mobiles, actions: Array) -> tuple[Mobiles, Array]:
        """One step of each robot's macro-action, without delivery: the robots, which macro-actions ended."""
        goal_x, goal_y = self._target(actions)
        dx, dy = goal_x - mobiles.x, goal_y - mobiles.y
        # Distances count in whole centimetres, also where a step's length is divided by them (section 6).
        centimetres = jnp.rint(100 * jnp.sqrt(dx * dx + dy * dy))
        there = centimetres <= math.floor(100 * self.mobile_speed + 1e-6)
        share = 100 * self.mobile_speed / jnp.maximum(centimetres, 1)
        timer = jnp.minimum(mobiles.timer, 0)
        pause = self.tool_room if self.layout.pause_at_tool_room else self.get_tool  # quirk 1
        paused = (mobiles.timer > 0) & (actions == pause)
        gets = actions == self.get_tool
        timer = timer - (gets & ~paused)
        gives_up = gets & (timer <= -self.layout.get_tool_wait)  # quirk 2
        timer = jnp.where(gives_up, -1, timer)  # quirk 4
        moved = Mobiles(
            x=jnp.where(there, goal_x, mobiles.x + share * dx),
            y=jnp.where(there, goal_y, mobiles.y + share * dy),
            place=jnp.where(there, actions, -1),
            timer=jnp.where(there, timer, 1),
            basket=mobiles.basket,
        )
        return moved, there & ~paused & (~gets | gives_up)

    def _deliver(self, mobiles: Mobiles, humans: Humans, actions: Array) -> tuple[Mobiles, Humans, Array]:
        """Robots in index order give the human before them the tool of its phase: robots, humans, reward."""
        late = humans.left < int(self.layout.late_at_zero)  # quirk 2
        pay = jnp.where(late, ON_TIME + self.late_penalty, ON_TIME)
        wanted = self._wanted(humans)
        got, baskets, reward = humans.got, [], 0.0
        for i in range(self.num_mobiles):
            here = (mobiles.place[i] == actions[i]) & (jnp.arange(self.num_humans) == actions[i])
            has = (wanted & (mobiles.basket[i] > 0)).any(axis=1)
            gives = here & has & ~got
            got = got | gives
            baskets.append(mobiles.basket[i] - (wanted & gives[:, None]).any(axis=0))
            reward = reward + jnp.where(gives, pay, 0).sum()
        return mobiles.replace(basket=jnp.stack(baskets)), humans.replace(got=got), reward

    def _wanted(self, humans: Humans) -> Array:
        """The tool each human needs for its next phase, bool `[H, K]`; all False in the last phase."""
        needs = np.full((self.num_humans, self.layout.num_phases), -1)
        needs[:, :-1] = self.layout.needs
        tool = jnp.full(self.num_humans, -1)
        for phase in range(self.layout.num_phases - 1):
            tool = jnp.where(humans.phase == phase, needs[:, phase], tool)
        return tool[:, None] == jnp.arange(self.num_tools)

    def _work(self, manipulator: Manipulator, mobiles: Mobiles, action: Array, starts: Array) -> Manipulator:
        """One step of the manipulator's macro-action up to its effects; they come when `left` gets 0."""
        waits, passes = action == 0, action <= self.num_mobiles
        steps = jnp.where(waits, 0, jnp.where(passes, PASS_STEPS, SEARCH_STEPS) - 1)
        absent = (mobiles.place != self.get_tool) | (mobiles.timer > -1)
        to = jnp.arange(self.num_mobiles) == action - 1
        checked = np.array([i not in self.layout.early_pass for i in range(self.num_mobiles)])  # quirk 3
        return manipulator.replace(
            macro=action,
            left=jnp.where(starts, steps, manipulator.left - 1),
            failed=jnp.where(starts, (to & absent & checked).any(), manipulator.failed),
        )

    def _finish(
        self, manipulator: Manipulator, mobiles: Mobiles, actions: Array, action: Array
    ) -> tuple[Manipulator, Mobiles, Array, Array]:
        """Effects of a pass or a search that ends now: manipulator, robots, served robots `[M]`, pass failed."""
        ends = manipulator.left == 0
        to = ends & (jnp.arange(self.num_mobiles) == action - 1)
        passed = to & (mobiles.timer < 0) & (actions == self.get_tool) & ~manipulator.failed
        failed = to.any() & ~passed.any()
        oldest, newest = manipulator.staged
        tools = jnp.arange(self.num_tools)
        basket = mobiles.basket + (passed[:, None] & (tools == oldest))
        tool = action - 1 - self.num_mobiles
        in_store = ((tools == tool) & (manipulator.found < np.array(self.layout.stock))).any()
        finds = ends & in_store & (newest < 0)
        popped = passed.any()  # finds is False then
        oldest, newest = (
            jnp.where(popped, newest, jnp.where(finds & (oldest < 0), tool, oldest)),
            jnp.where(popped, -1, jnp.where(finds & (oldest >= 0), tool, newest)),
        )
        manipulator = manipulator.replace(
            failed=manipulator.failed & ~ends,
            staged=jnp.stack([oldest, newest]),
            found=manipulator.found + (finds & (tools == tool)),
        )
        mobiles = mobiles.replace(basket=basket, timer=jnp.where(passed, 0, mobiles.timer))
        return manipulator, mobiles, passed, failed

    def _live(self, humans: Humans) -> Humans:
        """Time passes for the humans (section 5, number 5, and section 8)."""
        last = self.layout.num_phases - 1
        served = humans.served | (humans.phase == last - 1) & humans.got
        left = humans.left - ~humans.finished
        ready = (left <= 0) & humans.got & ~humans.finished
        goes_on = ready & (humans.phase < last)
        phase = humans.phase + goes_on
        return Humans(
            phase=phase,
            left=jnp.where(goes_on, self._phase_time(phase), left),
            got=humans.got & ~(goes_on & (phase < last)),
            finished=humans.finished | ready & (humans.phase == last),
            served=served,
        )

    def _phase_time(self, phase: Array) -> Array:
        """Length of each human's phase, `[H]`."""
        steps = jnp.array(self.phase_times[:, 0])
        for p in range(1, self.layout.num_phases):
            steps = jnp.where(phase == p, self.phase_times[:, p], steps)
        return steps

    def observe(self, physics: Physics) -> Array:
        """What each agent perceives (section 9); a robot between two waypoints reads no location."""
        mobiles, manipulator, humans = physics.mobiles, physics.manipulator, physics.humans
        m, h = self.num_mobiles, self.num_humans
        at, inside = self._location(mobiles)
        phases = humans.phase[:, None] == jnp.arange(self.layout.num_phases)
        seen = (at[:, :h, None] & phases).reshape(m, -1)
        count = (manipulator.staged >= 0).sum()
        staged = inside[:, None] & (count == jnp.arange(1, CAPACITY + 1))
        of_mobiles = jnp.concatenate([at, seen, mobiles.basket, staged], axis=1)
        of_manipulator = jnp.concatenate([self._staged(manipulator), mobiles.place == self.get_tool])[None]
        return jnp.concatenate([self._padded(of_mobiles), self._padded(of_manipulator)])

    def observe_initial(self, physics: Physics) -> Array:
        """As `observe`, with the entry "nowhere yet"."""
        nowhere = (physics.mobiles.place < 0).astype(self.obs_dtype)
        return self.observe(physics).at[: self.num_mobiles, self.num_humans + 2].set(nowhere)

    def _location(self, mobiles: Mobiles) -> tuple[Array, Array]:
        """One-hot waypoint of each robot `[M, H+3]`, and whether it sees the staged tools `[M]`."""
        return mobiles.place[:, None] == jnp.arange(self.num_humans + 3), mobiles.place >= self.num_humans

    def _padded(self, rows: Array) -> Array:
        return jnp.pad(rows.astype(self.obs_dtype), ((0, 0), (0, self.obs_size - rows.shape[1])))

    def _staged(self, manipulator: Manipulator) -> Array:
        """Number of staged tools of each kind, `[K]`."""
        return (manipulator.staged[:, None] == jnp.arange(self.num_tools)).sum(axis=0)

    def success(self, physics: Physics) -> Array:
        """Every human has had all its tools, be it late."""
        return physics.humans.served.all()

    def global_state(self, physics: Physics) -> Array:
        """Places, baskets, staged tools, tool in hand, the manipulator's progress, the humans (section 12)."""
        mobiles, manipulator, humans = physics.mobiles, physics.manipulator, physics.humans
        m, (x, y) = self.num_mobiles, self.layout.manipulator
        places = jnp.stack([jnp.append(mobiles.x, x) / WIDTH, jnp.append(mobiles.y, y) / HEIGHT], axis=1)
        running = manipulator.left > 0
        passes = (manipulator.macro > 0) & (manipulator.macro <= m)
        in_hand = running & passes & (manipulator.staged[0] == jnp.arange(self.num_tools))
        status = manipulator.left / jnp.where(passes, PASS_STEPS, SEARCH_STEPS)
        phases = humans.phase[:, None] == jnp.arange(self.layout.num_phases)
        progress = humans.left / self._phase_time(humans.phase)
        progress = progress if self.layout.shows_time_left else 1 - progress
        progress = jnp.where(humans.left >= 0, progress, -1)
        of_humans = jnp.concatenate([phases, progress[:, None]], axis=1)
        parts = (places, mobiles.basket, self._staged(manipulator), in_hand, status, of_humans)
        return jnp.concatenate([jnp.ravel(part).astype(jnp.float32) for part in parts])

    def draw(self, state: EnvState, ax: Any) -> None:
        """Draw rooms, table, staged tools, robots with their baskets, humans with phase and progress."""
        from jaxmac.envs.warehouse.drawing import draw

        draw(self, state, ax)
