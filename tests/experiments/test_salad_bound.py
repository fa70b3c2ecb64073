"""The least number of steps of a salad: its parts by hand, and against the plans that are known."""

import pytest

from experiments import salad_bound
from experiments.common import RESULTS
from jaxmac.envs.overcooked.layout import FOODS, Layout, cell
from jaxmac.envs.overcooked.plans import PLAN_STEPS

TOMATO, LETTUCE, ONION = FOODS
PLATE = salad_bound.PLATE


def layout(name):
    return Layout(name, 7, 3)


def test_the_stored_table_is_that_of_the_search_and_no_known_plan_is_faster():
    rows = (RESULTS / "salad_bound" / "summary.md").read_text().splitlines()
    for name, known in PLAN_STEPS.items():
        least = salad_bound.steps_at_least(name)
        assert 0 < least <= known
        assert any(row.startswith(f"| Overcooked-{name} | {least} | {known} |") for row in rows)


def test_items_go_over_the_wall_in_one_step_and_agents_around_it():
    here, there = cell(4, 2), cell(4, 4)
    assert salad_bound.ways_of(layout("A"))[here][there] == 2
    assert there not in salad_bound.ways_of(layout("B"))[here]
    assert salad_bound.ways_of(layout("C"))[here][there] == 4
    for name in "BC":
        assert salad_bound.ways_of(layout(name), over_counters=True)[here][there] == 1


def test_items_are_taken_one_after_the_other():
    """Agent 1, at (1, 4): a step and the tomato; it is put down, and the lettuce is beside the same cell."""
    beside = {TOMATO: cell(1, 5), LETTUCE: cell(1, 5), ONION: cell(2, 5), PLATE: cell(5, 5)}
    assert salad_bound.cells_beside(layout("A")) == beside
    found = [{item: min(at.values()) for item, at in one.items()} for one in salad_bound.picked_up(layout("A"))]
    assert {TOMATO: 2, LETTUCE: 4, ONION: 7, PLATE: 12} in found
    assert {TOMATO: 2, LETTUCE: 4, ONION: 7, PLATE: 4} in found  # the plate by agent 2, three steps away from it
    assert min(one[TOMATO] for one in found) == 2 and min(one[PLATE] for one in found) == 4


def test_one_agent_brings_all_to_the_wall():
    found = salad_bound._first_on_the_wall(layout("B"))
    assert found[(TOMATO,)][cell(1, 2)] == 4  # there, take, back, put
    assert found[(TOMATO, LETTUCE)][cell(1, 2)] == 8
    assert found[(PLATE,)][cell(5, 2)] == 8  # down (4) beside it (1) in some order, take, back, put
    every = [min(rows.values()) for order, rows in found.items() if len(order) == 4]
    assert len(every) == 24 and min(every) == 20


@pytest.mark.parametrize("step", [1, 3])
def test_a_knife_has_one_food_after_the_other(step):
    """Where all is at both knives at once, two foods share one, at best knife 2, a step from the hatch."""
    everywhere = {cell(1, 1): step, cell(2, 1): step}
    ways = salad_bound.ways_of(layout("A"), over_counters=True)
    found = salad_bound._served(layout("A"), ways, dict.fromkeys((*FOODS, PLATE), everywhere))
    put, make_room, chops, to_the_hatch = 1, 6, 3, 1
    assert found == step + put + make_room + chops + 3 + to_the_hatch
