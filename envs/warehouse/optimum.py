"""How much a warehouse can bring at most, in closed form."""

from __future__ import annotations

import math

import numpy as np

from jaxmac.envs.warehouse.layout import ON_TIME, PASS_STEPS, SEARCH_STEPS, STEP, Layout, Point


def upper_bound(
    layout: Layout, phase_times: np.ndarray, mobile_speed: float, late_penalty: float, horizon: int
) -> float:
    """An undiscounted return that no plan exceeds (for `late_penalty` of at most 0).

    * The k-th tool leaves the table after 10 k steps at the earliest, for k searches and k passes.
    * So the last one arrives a shortest drive later, and not before any human has reached its last phase but one.
    * First tools are late where not all humans can have one before their first phase is over: with one tool
      every ten steps, serving humans in the order of their deadlines misses the fewest.
    * A team that does not deliver everything loses a delivery and goes on until the time limit.
    """
    tools, steps_per_tool = layout.num_humans * (layout.num_phases - 1), SEARCH_STEPS + PASS_STEPS
    drives = [
        min(driving_steps(table, area, mobile_speed) for table in layout.table_points) for area in layout.work_areas
    ]
    steps = max(tools * steps_per_tool + min(drives), phase_times[:, :-2].sum(axis=1).max() + 1)
    in_time = 0
    for deadline in sorted(phase_times[:, 0] + (not layout.late_at_zero) - drives):
        in_time += (in_time + 1) * steps_per_tool <= deadline
    complete = tools * ON_TIME + (layout.num_humans - in_time) * late_penalty + steps * STEP
    return float(max(complete, (tools - 1) * ON_TIME + horizon * STEP))


def driving_steps(start: Point, destination: Point, speed: float) -> int:
    """Steps of a drive, the step of the arrival included (docs/specifications/warehouse.md, section 6)."""
    place, end, steps = np.array(start), np.array(destination), 1
    while (centimetres := round(100 * math.dist(place, end))) > 100 * speed + 1e-6:
        place = place + 100 * speed / centimetres * (end - place)
        steps += 1
    return steps
