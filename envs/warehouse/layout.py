"""A warehouse as data: `Layout`, which checks that its parts fit together.

Source: docs/specifications/warehouse.md, sections 2 (the table) and 11 (quirks).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from jaxmac.envs.shapes import one_line

Point = tuple[float, float]
STEP, ON_TIME, FAILED_PASS = -1.0, 100.0, -10.0  # rewards
PASS_STEPS, SEARCH_STEPS = 4, 6
CAPACITY = 2  # of the staging area


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places (x, y) in metres, H humans with L phases of work each, M mobile robots, K kinds of tools.

    Human h works at `work_areas[h]` through L phases and needs the tool `needs[h][p]` to go from phase p to
    p + 1. The store holds exactly the tools that the humans need. Walls do not exist: robots drive straight.

    Raises ValueError, in one line, where the parts do not fit together.
    """

    work_areas: tuple[Point, ...]  # one per human
    phase_times: tuple[tuple[int, ...], ...]  # of each human, primitive steps
    tool_room: Point  # where robots see how many tools are staged
    table_points: tuple[Point, ...]  # one per robot: where it gets tools
    robots: tuple[Point, ...]  # where they start
    manipulator: Point
    room_border: float  # x of the wall of the tool room; decides what robots see while driving (primitive actions)
    tools: tuple[str, ...] = ("tool 0", "tool 1", "tool 2")
    needs: tuple[tuple[int, ...], ...] = ()  # of each human, tools; empty: every human needs 0, 1, 2, ...
    name: str = "custom"
    # What differs between the published warehouses (quirks of section 11).
    get_tool_wait: int = 10  # steps at the table before Get-Tool gives up
    late_at_zero: bool = True  # a delivery is late as soon as the phase time is used up, else a step later
    pause_at_tool_room: bool = False  # an arrival pauses one step at the tool room, not at the table
    early_pass: tuple[int, ...] = ()  # robots to which a pass may start before they are at the table
    shows_time_left: bool = False  # global state: fraction of the phase left, not done

    def __post_init__(self) -> None:
        for name in ("work_areas", "phase_times", "table_points", "robots", "tools", "early_pass"):
            object.__setattr__(self, name, _as_tuple(name, getattr(self, name)))
        self._check_places()
        check_phase_times("phase_times", self.phase_times, self.num_humans, None)
        in_turn = [range(self.num_phases - 1)] * self.num_humans
        object.__setattr__(self, "needs", _as_tuple("needs", self.needs or in_turn))
        self._check_tools()
        _check_steps("get_tool_wait", self.get_tool_wait)
        _check_indices("early_pass", self.early_pass, self.num_mobiles, "mobile robot")

    @property
    def num_humans(self) -> int:
        """Number of humans, H."""
        return len(self.work_areas)

    @property
    def num_mobiles(self) -> int:
        """Number of mobile robots, M."""
        return len(self.robots)

    @property
    def num_tools(self) -> int:
        """Number of kinds of tools, K."""
        return len(self.tools)

    @property
    def num_phases(self) -> int:
        """Number of phases of every human, L."""
        return len(self.phase_times[0])

    @property
    def go_to_tool_room(self) -> int:
        """Index of that macro-action of a robot, and of that waypoint; those below go to work areas."""
        return self.num_humans

    @property
    def get_tool(self) -> int:
        """Index of that macro-action of a robot, and of its table point among the waypoints."""
        return self.num_humans + 1

    @property
    def stock(self) -> tuple[int, ...]:
        """Number of each tool in the store, `[tools]`."""
        wanted = [tool for row in self.needs for tool in row]
        return tuple(wanted.count(tool) for tool in range(self.num_tools))

    def _check_places(self) -> None:
        for name, owner in (("work_areas", "human"), ("robots", "mobile robot")):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty, but there must be at least one {owner}")
        for name, points in (
            ("work_areas", self.work_areas),
            ("table_points", self.table_points),
            ("robots", self.robots),
            ("tool_room", [self.tool_room]),
            ("manipulator", [self.manipulator]),
        ):
            for point in points:
                if not (isinstance(point, Sequence) and len(point) == 2 and all(map(_is_number, point))):
                    raise ValueError(f"{name} has {point!r}, but a place must be two finite numbers (x, y)")
        if len(self.table_points) != self.num_mobiles:
            raise ValueError(
                f"table_points has {len(self.table_points)} places, but must have one for each of the "
                f"{self.num_mobiles} robots"
            )
        if not _is_number(self.room_border):
            raise ValueError(f"room_border is {self.room_border!r}, but must be a finite number")

    def _check_tools(self) -> None:
        if not self.tools or not all(isinstance(tool, str) for tool in self.tools):
            raise ValueError(f"tools is {self.tools!r}, but must be one name or more")
        if len(self.needs) != self.num_humans:
            raise ValueError(f"needs has {len(self.needs)} rows, but must have one for each human")
        for human, row in enumerate(self.needs):
            if not isinstance(row, Sequence) or len(row) != self.num_phases - 1:
                raise ValueError(
                    f"needs has {row!r} for human {human}, but must have a tool between each two of its "
                    f"{self.num_phases} phases: {self.num_phases - 1} tools"
                )
            _check_indices("needs", row, self.num_tools, "tool")
        for tool, pieces in enumerate(self.stock):
            if pieces == 0:
                raise ValueError(f"tools has {self.tools[tool]!r} (index {tool}), but no human needs it")


def check_phase_times(field: str, rows: Any, humans: int, phases: int | None) -> None:
    """Raise ValueError unless `rows` are `humans` rows of `phases` (None: equally many) positive integers."""
    rows = _as_tuple(field, rows)
    if len(rows) != humans:
        raise ValueError(f"{field} has {len(rows)} rows, but must have one for each of the {humans} humans")
    for row in rows:
        if not isinstance(row, Sequence) or isinstance(row, str):
            raise ValueError(f"{field} has {row!r}, but each row must be a sequence of phase times")
        wanted = max(2, len(rows[0])) if phases is None else phases
        if len(row) != wanted:
            raise ValueError(f"{field} has {list(row)!r}, but each row must have {wanted} phase times")
        for steps in row:
            _check_steps(field, steps)


def _as_tuple(field: str, value: Any) -> tuple[Any, ...]:
    """`value` and the sequences in it as tuples."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{field} is {one_line(value)}, but must be a sequence")
    return tuple(tuple(row) if isinstance(row, Sequence) and not isinstance(row, str) else row for row in value)


def _check_steps(field: str, value: Any) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= int(value) <= 30_000:
        raise ValueError(f"{field} has {value!r}, but must be an integer number of steps from 1 to 30000")


def _check_indices(field: str, values: Sequence[Any], count: int, what: str) -> None:
    for value in values:
        if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) < count:
            raise ValueError(f"{field} has {value!r}, but must be the index of a {what}, from 0 to {count - 1}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
