"""Macro-actions: what a running one does next, and when it ends (docs/specifications/overcooked.md, section 8).

Everything here is for one agent; `environment.py` maps it over the team.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Int32

from jaxmac.envs.overcooked.kitchen import HAND, Kitchen
from jaxmac.envs.overcooked.layout import (
    CHOP,
    CHOPPED,
    DELIVER,
    FOODS,
    GET,
    GO_TO_KNIFE,
    ITEMS,
    LEFT,
    PLATES,
    RIGHT,
    STAY,
    Layout,
    any_of,
    beside,
    cell,
    in_view,
    pick,
    step_from,
)


class View(NamedTuple):
    """What decides about one agent's macro-action: the kitchen as it is, which some rules read, and its belief."""

    kitchen: Kitchen
    items: Int32[Array, "... 5"]  # cells of the items
    agent: Int32[Array, "..."]  # which agent this is
    here: Int32[Array, "..."]  # its cell
    believed_items: Int32[Array, "... 5"]  # as `items`, in its belief
    believed_agents: Int32[Array, "... agents"]

    def raw_food_on(self, spot: Int[Array, ""] | int) -> Bool[Array, ""]:
        """Whether a food that is not chopped really lies on the cell `spot`."""
        place, chops = self.kitchen.place, self.kitchen.chops
        return any_of([(place[f] == spot) & (chops[f] < CHOPPED) for f in FOODS])

    def expects_agent_on(self, spot: Int[Array, ""] | int) -> Bool[Array, ""]:
        """Whether the agent believes that an agent, itself included, is on the cell `spot`."""
        return any_of([self.believed_agents[j] == spot for j in range(self.believed_agents.shape[0])])

    def expects_item_on(self, spot: Int[Array, ""] | int) -> Bool[Array, ""]:
        """Whether the agent believes that an item is on the cell `spot`."""
        return any_of([self.believed_items[k] == spot for k in ITEMS])

    def in_hand(self) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
        """Whether the agent has a food in its hand, and whether it has a plate."""
        in_hand = [self.kitchen.place[k] == HAND + self.agent for k in ITEMS]
        return any_of([in_hand[f] for f in FOODS]), any_of([in_hand[p] for p in PLATES])


def target_of(layout: Layout, view: View, macro: Int[Array, ""]) -> Int[Array, ""]:
    """The cell that a macro-action is about, as believed; the agent's own where it is about none."""
    items = [view.believed_items[k] for k in ITEMS]
    target = pick(macro, [view.here, *items, *layout.knives, layout.delivery])
    for spot in layout.counters[::-1]:  # the first free one
        target = jnp.where((macro == layout.go_to_counter) & ~view.expects_item_on(spot), spot, target)
    return target


def next_action(
    layout: Layout,
    radius: int,
    view: View,
    macro: Int[Array, ""],
    target: Int[Array, ""],
    planned: Int[Array, ""],
    chop_count: Int[Array, ""],
) -> tuple[Int[Array, ""], Bool[Array, ""], Int[Array, ""]]:
    """Primitive action, whether the macro-action ends before the move, and the chop counter (section 8.3).

    `target` is from `target_of`, `planned` the planner's move towards it (`STAY` without a path).
    """
    action, ends = _walk_and_handle(layout, radius, view, macro, target, planned)
    first_move = len(layout.macro_actions) - 4
    moves, ahead = macro >= first_move, step_from(view.here, macro - first_move)
    free = layout.is_floor(ahead) & ~view.expects_item_on(ahead) & ~view.expects_agent_on(ahead)
    action = jnp.where(moves, jnp.where(free, macro - first_move, STAY), action)

    chops = (macro == CHOP) & layout.is_knife(view.here - 1) & view.raw_food_on(view.here - 1)
    count = chop_count + chops
    enough = count >= CHOPPED
    action = jnp.where(macro == CHOP, jnp.where(chops, LEFT, STAY), jnp.where(macro == 0, STAY, action))
    ends = jnp.where(macro == CHOP, ~chops | enough, moves | (macro == 0) | ends)
    return action, ends, jnp.where(chops & enough, 0, count)


def _walk_and_handle(
    layout: Layout, radius: int, view: View, macro: Int[Array, ""], target: Int[Array, ""], planned: Int[Array, ""]
) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """Get, go to knife, deliver and go to counter: the primitive action, whether they end before the move."""
    here, near, visible = view.here, beside(view.here, target), in_view(radius, view.here, target)
    to_food, to_plate = (macro >= GET) & (macro < GET + 3), (macro >= GET + 3) & (macro < GET + 5)
    to_knife, to_counter = (macro >= GO_TO_KNIFE) & (macro < DELIVER), macro == layout.go_to_counter
    food, plate = view.in_hand()
    place, chops = view.kitchen.place, view.kitchen.chops
    chopped = any_of([(place[f] == HAND + view.agent) & (chops[f] == CHOPPED) for f in FOODS])

    # Beside the target: do it, unless there is nothing to do.
    idle = to_plate & food & ~chopped | to_knife & ~food & ~plate | _misses(view, macro, target)
    idle = idle | to_food & layout.is_knife(target) & view.raw_food_on(target)
    merges = to_plate & chopped  # and takes the plate in the next step
    action = jnp.where(near & idle, STAY, planned)
    ends = jnp.where(near, ~merges, (planned == STAY) & ~to_counter)

    # Before that: nothing to get, or a side step that lets another agent out of the corner.
    plated = to_food & visible & any_of([view.items[p] == target for p in PLATES])
    taken = visible & any_of([view.kitchen.agents[j] == target for j in range(layout.num_agents)])
    in_corner = view.expects_agent_on(cell(2, 1))
    aside = (target == cell(1, 0)) & (here == cell(3, 1)) & ~plated | (macro == DELIVER) & (here == cell(1, 1))
    aside = aside & in_corner
    stops = plated | taken  # also where no counter is free: its own cell is the target then
    action = jnp.where(aside, RIGHT, jnp.where(stops, STAY, action))
    return action, ~aside & (stops | ends)


def _misses(view: View, macro: Int[Array, ""], target: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether a "get" goes for an item that is not on the cell `target`."""
    return any_of([(macro == GET + k) & (view.items[k] != target) for k in ITEMS])


def ends_after(layout: Layout, view: View, macro: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether a macro-action that did not end before the move ends after it, with the new belief (section 8.4)."""
    target = target_of(layout, view, macro)
    near, (food, plate) = beside(view.here, target), view.in_hand()
    arrives = (macro >= GO_TO_KNIFE) & (macro <= DELIVER) & ~food & ~plate
    raw = any_of([(macro == GET + f) & (view.kitchen.chops[f] < CHOPPED) for f in FOODS])
    return near & (arrives | raw & layout.is_knife(target)) | _misses(view, macro, target)
