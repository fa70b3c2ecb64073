"""The six warehouses of the literature (docs/specifications/warehouse.md, section 2)."""

from __future__ import annotations

from typing import Any

from jaxmac.envs.warehouse.layout import Layout
from jaxmac.envs.warehouse.plans import PLANS, Plan

_SMALL_ROOM = {"tool_room": (3.0, 2.5), "manipulator": (0.9, 2.5), "room_border": 3.5}
_LARGE_ROOM = {**_SMALL_ROOM, "room_border": 4.0}
_TWO = {"table_points": ((1.2, 3.7), (1.2, 1.3)), "robots": ((3.0, 3.5), (3.0, 1.5))}
_THREE = {
    "table_points": ((0.8, 3.7), (1.2, 3.7), (1.2, 1.3)),
    "robots": ((3.0, 4.0), (3.0, 2.5), (3.0, 1.0)),
    "early_pass": (2,),
}
_TWO_AREAS = ((6.0, 3.0), (6.0, 2.0))
_THREE_AREAS = ((6.0, 3.0), (8.0, 3.0), (8.0, 2.0))

_ROWS: dict[str, dict[str, Any]] = {
    "S": {
        "work_areas": ((6.0, 3.0),),
        "phase_times": ((20, 20, 20, 20),),
        "tool_room": (2.5, 3.5),
        "table_points": ((0.8, 3.0), (1.2, 3.0)),
        "robots": ((3.0, 1.5), (3.0, 2.5)),
        "manipulator": (0.9, 1.8),
        "room_border": 3.5,
        "get_tool_wait": 11,
        "late_at_zero": False,
        "shows_time_left": True,
    },
    "D": {"work_areas": _TWO_AREAS, "phase_times": ((27, 20, 20, 20),) * 2, **_SMALL_ROOM, **_TWO},
    "D1": {"work_areas": _TWO_AREAS, "phase_times": ((18, 15, 15, 15), (48, 18, 15, 15)), **_SMALL_ROOM, **_TWO},
    "T": {"work_areas": _THREE_AREAS, "phase_times": ((40,) * 4,) * 3, **_LARGE_ROOM, **_TWO},
    "T1": {"work_areas": _THREE_AREAS, "phase_times": ((38,) * 4, (38,) * 4, (27,) * 4), **_LARGE_ROOM, **_THREE},
    "Q": {
        "work_areas": ((6.0, 3.0), (8.0, 3.0), (6.0, 2.0), (8.0, 2.0)),
        "phase_times": ((40,) * 4,) * 4,
        "pause_at_tool_room": True,
        **_LARGE_ROOM,
        **_THREE,
    },
}
LAYOUTS = {name: Layout(name=name, **row) for name, row in _ROWS.items()}

# The time limits of the NeurIPS 2022 experiments; only in Q the environment itself ended the episode (quirk 5).
_HORIZONS = {"S": 150, "D": 200, "D1": 200, "T": 250, "T1": 250, "Q": 300}
PRESETS = {
    name: {"neurips22": {"horizon": horizon, "horizon_is_terminal": name == "Q"}}
    for name, horizon in _HORIZONS.items()
}


def published_plan(layout: Layout) -> Plan | None:
    """The best plan known for a layout at default options; None for all but the published ones, unchanged."""
    return PLANS.get(layout.name) if layout == LAYOUTS.get(layout.name) else None
