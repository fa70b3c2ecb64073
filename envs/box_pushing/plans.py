"""Optimal plans and what they earn, in closed form (docs/specifications/box_pushing.md, section 10)."""

from __future__ import annotations

from jaxmac.envs.box_pushing.controllers import Distance
from jaxmac.envs.box_pushing.layout import PUSH, STAY, Layout

Plan = tuple[tuple[int, ...], ...]  # for each robot its choices one after the other; the last one repeats


def shortest_success(layout: Layout, distance: Distance) -> int:
    """Fewest primitive steps from the fixed start until the big box is on the goal row."""
    size = layout.size
    detour = 2 if distance == "euclidean" and size >= 8 else 0
    return (size if size < 8 else 3 * size // 2 - 4) + detour


def best_returns(
    layout: Layout, num_agents: int, steps: int, big_box_reward: float, small_box_reward: float, step_reward: float
) -> tuple[float, float]:
    """Best undiscounted returns from the fixed start with the big box, in `steps`, and with both small boxes.

    With three robots a small box reaches the goal row in the same step as the big box.
    """
    small_steps = 3 if layout.size == 4 else layout.size - 2
    big = big_box_reward + (num_agents - 2) * small_box_reward + step_reward * steps
    return big, 2 * small_box_reward + step_reward * small_steps


def macro_plan(layout: Layout, distance: Distance, num_agents: int) -> Plan:
    """Two robots push the big box; a third one pushes small box 0 at the same time."""
    if num_agents == 2:
        detour = distance == "euclidean" and layout.size >= 12  # by way of the small boxes' waypoints
        return ((0, 2, PUSH), (1, 3, PUSH)) if detour else ((2, PUSH), (3, PUSH))
    # Robots 0 and 2 only turn and climb, so they wait for robot 1, which comes from the side.
    climb = layout.waypoint_row - int(layout.size > 4)
    together = shortest_success(layout, distance) - layout.goal_row // 2
    return (0, *(STAY,) * (together - climb - 1), PUSH), (3, PUSH), (2, *(STAY,) * (together - climb), PUSH)


def small_boxes_plan(num_agents: int) -> Plan:
    """Robots 0 and 1, which start below the small boxes, push them at the same time; a third one stays."""
    return ((0, PUSH), (1, PUSH), (STAY,))[:num_agents]


def primitive_small_boxes_plan(num_agents: int) -> Plan:
    """The same with primitive actions."""
    forward, turn_left, turn_right, stay = range(4)
    return ((turn_left, forward), (turn_right, forward), (stay,))[:num_agents]


def primitive_plan(layout: Layout, num_agents: int) -> Plan:
    """`macro_plan` with the primitive actions forward, turn left, turn right and stay."""
    forward, turn_left, turn_right, stay = range(4)
    aside = layout.columns[2] - layout.columns[0]
    inwards, wait = (forward,) * aside, (stay,) * aside
    if num_agents == 2:
        return (*inwards, turn_left, forward), (*inwards, turn_right, forward)
    return (*wait, turn_left, forward), (*inwards, turn_right, forward), (*wait, stay, forward)
