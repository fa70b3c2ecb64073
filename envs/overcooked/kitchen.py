"""What is where in the kitchen, and one primitive step (docs/specifications/overcooked.md, sections 4 and 5).

Items are never on cells that agents can stand on, so walking and handling items do not affect each other within a
step: a step is the walk, and then what the agents do to the cells they face, in index order.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int, Int32

from jaxmac.envs.overcooked.layout import (
    CHOPPED,
    FOODS,
    ITEMS,
    PLATES,
    Layout,
    any_of,
    pick,
    step_from,
)

HAND, ON_PLATE = 256, 264  # places other than cells: HAND + agent, ON_PLATE + plate


class Kitchen(struct.PyTreeNode):
    """The true state; every item is in exactly one place."""

    agents: Int32[Array, "... agents"]  # cells
    place: Int32[Array, "... 5"]  # of each item a cell, HAND + agent, or for a food ON_PLATE + plate
    hidden: Bool[Array, "... 5"]  # lies on a counter below another item, or where one was, and cannot be reached
    chops: Int32[Array, "... 3"]  # of each food, 0 to 3


class Events(NamedTuple):
    """The events of a step that are rewarded."""

    chopped: Int32[Array, "..."]  # foods of the recipe that got their third chop
    wrong: Int32[Array, "..."]  # wrong deliveries
    right: Int32[Array, "..."]  # right ones, 0 or 1


class Walk(NamedTuple):
    """Where the agents are within a step, and which of them have moved or cannot move any more."""

    cells: tuple[Int[Array, ""], ...]
    resolved: tuple[Bool[Array, ""], ...]


class Items(NamedTuple):
    """The items' fields of `Kitchen`, item by item: XLA compiles scalars that depend on each other far better."""

    place: tuple[Int[Array, ""], ...]
    hidden: tuple[Bool[Array, ""], ...]
    chops: tuple[Int[Array, ""], ...]


def initial_kitchen(layout: Layout) -> Kitchen:
    """The start of every episode (section 3)."""
    return Kitchen(
        agents=jnp.array(layout.agents, jnp.int32),
        place=jnp.array(layout.items, jnp.int32),
        hidden=jnp.zeros(5, bool),
        chops=jnp.zeros(3, jnp.int32),
    )


def item_cells(kitchen: Kitchen) -> Int[Array, "5"]:
    """The cell of each item; an item in a hand or on a plate is where that is."""
    cells = kitchen.place
    for i in range(kitchen.agents.shape[0]):
        cells = jnp.where(kitchen.place == HAND + i, kitchen.agents[i], cells)
    for p, plate in enumerate(PLATES):
        cells = jnp.where(kitchen.place == ON_PLATE + p, cells[plate], cells)
    return cells


def primitive_step(
    layout: Layout, recipe: tuple[int, ...], kitchen: Kitchen, actions: Int[Array, "agents"]
) -> tuple[Kitchen, Events]:
    """One primitive step; `recipe` are the foods that belong on the plate."""
    agents = range(layout.num_agents)
    cells = [kitchen.agents[i] for i in agents]
    targets = [step_from(cells[i], actions[i]) for i in agents]
    on_floor = [layout.is_floor(target) for target in targets]

    def visit(agent: Array, loop: tuple[Items, Events, Walk]) -> tuple[Items, Events, Walk]:
        items, so_far, walk = loop
        target, acts = pick(agent, targets), ~pick(agent, on_floor)
        items, events = _handle(layout, recipe, items, HAND + agent, target, acts)
        return items, Events(*map(jnp.add, so_far, events)), _walk_once(targets, walk)

    # A loop, not unrolled: what goes round is computed once, where XLA would repeat it in every field it enters.
    items = Items(*(tuple(field) for field in (kitchen.place, kitchen.hidden, kitchen.chops)))
    walk = Walk(tuple(cells), tuple(~on_floor[i] | (targets[i] == cells[i]) for i in agents))
    loop = (items, Events(*[jnp.int32(0)] * 3), walk)
    items, events, walk = jax.lax.fori_loop(0, layout.num_agents, visit, loop)
    return Kitchen(*(jnp.stack(field) for field in (walk.cells, *items))), events


def _walk_once(targets: list[Int[Array, ""]], walk: Walk) -> Walk:
    """One pass: agents enter free cells in index order, follow one that has left, and swap when face to face."""
    cells, resolved = list(walk.cells), list(walk.resolved)
    agents = range(len(cells))
    for i in agents:
        waits = ~resolved[i]
        free: Array | bool = True
        fails: Array | bool = False
        for j in (j for j in agents if j != i):
            there = waits & (cells[j] == targets[i])
            swap = there & ~resolved[j] & (targets[j] == cells[i])
            free, fails = free & (swap | ~there), fails | there & resolved[j]
            cells[j] = jnp.where(swap, targets[j], cells[j])
            resolved[j] = resolved[j] | swap
        cells[i] = jnp.where(waits & free, targets[i], cells[i])
        resolved[i] = resolved[i] | free | fails
    return Walk(tuple(cells), tuple(resolved))


def _handle(
    layout: Layout,
    recipe: tuple[int, ...],
    items: Items,
    hand: Int[Array, ""],
    target: Int[Array, ""],
    acts: Bool[Array, ""],
) -> tuple[Items, Events]:
    """What one agent does to the counter, knife or delivery cell it faces (the table of section 5)."""
    place, hidden, chops = (list(field) for field in items)
    in_hand = [acts & (place[k] == hand) for k in ITEMS]
    lies = [acts & (place[k] == target) & ~hidden[k] for k in ITEMS]  # on the cell that the agent faces
    lies[4] = lies[4] & ~lies[3]  # of two plates on one cell the first is found
    done = [chops[f] == CHOPPED for f in FOODS]
    has_food, has_plate = any_of(in_hand[:3]), in_hand[3] | in_hand[4]
    has_done, lies_done = (any_of([x[f] & done[f] for f in FOODS]) for x in (in_hand, lies))
    empty, on_knife = acts & ~(has_food | has_plate), layout.is_knife(target)
    serves = (has_food | has_plate) & (target == layout.delivery)

    chop = empty & on_knife & any_of(lies[:3]) & ~lies_done
    puts = (has_food | has_plate) & ~serves & ~any_of(lies)
    fills_hand = has_plate & lies_done  # the food there goes onto the plate in the hand
    fills_there = has_done & (lies[3] | lies[4])  # the food in the hand goes onto the plate there
    takes = empty & ~chop | fills_there & on_knife
    clears = takes | fills_hand
    place = [jnp.where(in_hand[k] & puts, target, jnp.where(lies[k] & takes, hand, place[k])) for k in ITEMS]
    for f in FOODS:
        place[f] = jnp.where(lies[f] & fills_hand, ON_PLATE + in_hand[4], place[f])
        place[f] = jnp.where(in_hand[f] & fills_there, ON_PLATE + lies[4], place[f])
    hidden = [hidden[k] | clears & (place[k] == target) for k in ITEMS]
    for plate, other in (PLATES, PLATES[::-1]):  # a plate put down makes one below it reachable
        hidden[plate] = hidden[plate] & ~(in_hand[other] & puts & (place[plate] == target))

    more = [lies[f] & chop for f in FOODS]
    chopped = jnp.asarray(sum((more[f] & (chops[f] == CHOPPED - 1)).astype(jnp.int32) for f in recipe))
    chops = [chops[f] + more[f] for f in FOODS]
    items, wrong, right = _serve(layout, recipe, Items(tuple(place), tuple(hidden), tuple(chops)), in_hand, serves)
    return items, Events(chopped, wrong.astype(jnp.int32), right.astype(jnp.int32))


def _serve(
    layout: Layout, recipe: tuple[int, ...], items: Items, in_hand: list[Bool[Array, ""]], serves: Bool[Array, ""]
) -> tuple[Items, Bool[Array, ""], Bool[Array, ""]]:
    """The right salad stays; anything else returns to where it started, and hides what lies there.

    Returns the items, whether the delivery was wrong, and whether it was right.
    """
    place, hidden, chops = (list(field) for field in items)
    served = [
        serves & (in_hand[3] & (place[f] == ON_PLATE) | in_hand[4] & (place[f] == ON_PLATE + 1)) for f in FOODS
    ]
    right = serves & (in_hand[3] | in_hand[4])
    for f in FOODS:
        right = right & (served[f] if f in recipe else ~served[f])
    wrong = serves & ~right
    returned = [wrong & (in_hand[k] | served[k] if k in FOODS else in_hand[k]) for k in ITEMS]
    for k in ITEMS:
        place[k] = jnp.where(returned[k], layout.items[k], jnp.where(in_hand[k] & right, layout.delivery, place[k]))
    for k in ITEMS:
        for below in (other for other in ITEMS if other != k):
            covered = returned[k] & (place[below] == layout.items[k])
            alike = k in PLATES and below in PLATES
            hidden[below] = hidden[below] & ~covered if alike else hidden[below] | covered
    chops = [jnp.where(returned[f], 0, chops[f]) for f in FOODS]
    return Items(tuple(place), tuple(hidden), tuple(chops)), wrong, right
