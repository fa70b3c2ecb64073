"""The rules and quirks of the Overcooked specification one by one."""

import numpy as np
import pytest
from support.overcooked_play import (
    AWAY,
    BESIDE_COUNTER,
    BESIDE_HATCH,
    BESIDE_KNIFE,
    CHOP,
    COUNTER,
    DELIVER,
    DOWN,
    EMPTY_COUNTER,
    GET,
    HATCH,
    HELD,
    KNIFE,
    KNIFE1,
    KNIFE2,
    LEFT,
    LETTUCE,
    ONION,
    PLATE1,
    PLATE2,
    RIGHT,
    STAY,
    TOMATO,
    UP,
    act,
    cells_of,
    jitted,
    place,
    where,
)

from jaxmac import envs
from jaxmac.envs.overcooked import layout
from jaxmac.envs.overcooked.kitchen import HAND, ON_PLATE
from jaxmac.envs.overcooked.layout import ROW, Layout

# -- walking (section 5)


@pytest.mark.parametrize(
    ("agents", "actions", "expected"),
    [
        ([(2, 2), (4, 4), (5, 5)], (RIGHT, DOWN, STAY), [(2, 3), (5, 4), (5, 5)]),
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, RIGHT, RIGHT), [(2, 3), (2, 4), (2, 5)]),  # a convoy, leader last
        ([(2, 4), (2, 3), (2, 2)], (RIGHT, RIGHT, RIGHT), [(2, 5), (2, 4), (2, 3)]),
        ([(2, 2), (2, 3), (5, 5)], (RIGHT, LEFT, STAY), [(2, 3), (2, 2), (5, 5)]),  # swap
        ([(2, 2), (2, 4), (3, 3)], (RIGHT, LEFT, UP), [(2, 3), (2, 4), (3, 3)]),  # the first gets the cell
        ([(2, 2), (2, 3), (5, 5)], (RIGHT, STAY, STAY), [(2, 2), (2, 3), (5, 5)]),
        ([(1, 4), (1, 5), (5, 5)], (RIGHT, RIGHT, STAY), [(1, 4), (1, 5), (5, 5)]),  # faces one who handles things
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, RIGHT, STAY), [(2, 2), (2, 3), (2, 4)]),
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, RIGHT, LEFT), [(2, 2), (2, 4), (2, 3)]),  # no room after a swap
        ([(2, 3), (2, 4), (2, 2)], (RIGHT, LEFT, RIGHT), [(2, 4), (2, 3), (2, 2)]),
        ([(2, 2), (2, 3), (2, 4)], (RIGHT, LEFT, LEFT), [(2, 3), (2, 2), (2, 4)]),
        ([(1, 1), (1, 2), (2, 2)], (RIGHT, DOWN, LEFT), [(1, 2), (2, 2), (2, 1)]),  # 0 waits for 1, who waits for 2
    ],
)
def test_walking(agents, actions, expected):
    env, advance = jitted("Overcooked-A-primitive")
    assert cells_of(advance(place(env, agents), actions)[0]) == expected


# -- handling items (section 5)


@pytest.mark.parametrize(
    ("start", "items", "chops", "expected"),
    [
        # an empty counter
        (BESIDE_COUNTER, {TOMATO: HELD}, (0, 0, 0), {TOMATO: EMPTY_COUNTER}),
        (BESIDE_COUNTER, {PLATE1: HELD, TOMATO: ON_PLATE}, (3, 0, 0), {PLATE1: EMPTY_COUNTER, TOMATO: ON_PLATE}),
        # food on a counter
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER}, (0, 0, 0), {TOMATO: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER}, (3, 0, 0), {TOMATO: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER, ONION: HELD}, (3, 0, 3), {TOMATO: EMPTY_COUNTER, ONION: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER, PLATE2: HELD}, (3, 0, 0), {TOMATO: ON_PLATE + 1, PLATE2: HELD}),
        (BESIDE_COUNTER, {TOMATO: EMPTY_COUNTER, PLATE2: HELD}, (0, 0, 0), {TOMATO: EMPTY_COUNTER, PLATE2: HELD}),
        # a plate on a counter
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER}, (0, 0, 0), {PLATE1: HELD}),
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER, ONION: HELD}, (0, 0, 3), {PLATE1: EMPTY_COUNTER, ONION: ON_PLATE}),
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER, ONION: HELD}, (0, 0, 0), {PLATE1: EMPTY_COUNTER, ONION: HELD}),
        (BESIDE_COUNTER, {PLATE1: EMPTY_COUNTER, PLATE2: HELD}, (0, 0, 0), {PLATE1: EMPTY_COUNTER, PLATE2: HELD}),
        # an empty knife
        (BESIDE_KNIFE, {}, (0, 0, 0), {}),
        (BESIDE_KNIFE, {TOMATO: HELD}, (0, 0, 0), {TOMATO: KNIFE}),
        (BESIDE_KNIFE, {TOMATO: HELD}, (3, 0, 0), {TOMATO: KNIFE}),
        (BESIDE_KNIFE, {PLATE2: HELD}, (0, 0, 0), {PLATE2: KNIFE}),
        # a knife with food
        (BESIDE_KNIFE, {TOMATO: KNIFE}, (3, 0, 0), {TOMATO: HELD}),
        (BESIDE_KNIFE, {TOMATO: KNIFE, ONION: HELD}, (0, 0, 0), {TOMATO: KNIFE, ONION: HELD}),
        (BESIDE_KNIFE, {TOMATO: KNIFE, PLATE1: HELD}, (3, 0, 0), {TOMATO: ON_PLATE, PLATE1: HELD}),
        (BESIDE_KNIFE, {TOMATO: KNIFE, PLATE1: HELD}, (0, 0, 0), {TOMATO: KNIFE, PLATE1: HELD}),
        # a knife with a plate
        (BESIDE_KNIFE, {PLATE2: KNIFE}, (0, 0, 0), {PLATE2: HELD}),
        (BESIDE_KNIFE, {PLATE2: KNIFE, TOMATO: HELD}, (3, 0, 0), {PLATE2: HELD, TOMATO: ON_PLATE + 1}),
        (BESIDE_KNIFE, {PLATE2: KNIFE, TOMATO: HELD}, (0, 0, 0), {PLATE2: KNIFE, TOMATO: HELD}),
        (BESIDE_KNIFE, {PLATE2: KNIFE, PLATE1: HELD}, (0, 0, 0), {PLATE2: KNIFE, PLATE1: HELD}),
        # the hatch with an empty hand
        (BESIDE_HATCH, {}, (0, 0, 0), {}),
    ],
)
def test_interactions(start, items, chops, expected):
    state, ts = act(LEFT, start, items, chops)
    initial = Layout("A", 7, 3).items
    for item in range(5):
        assert where(state, item) == expected.get(item, divmod(initial[item], ROW)), item
    assert state.physics.kitchen.chops.tolist() == list(chops)
    assert float(ts.reward) == pytest.approx(-0.1) and not state.physics.kitchen.hidden.any()
    assert cells_of(state)[0] == start


@pytest.mark.parametrize(("task", "food", "reward"), [(6, ONION, 9.9), (0, TOMATO, 9.9), (0, ONION, -0.1)])
def test_only_the_third_chop_of_a_food_of_the_recipe_pays(task, food, reward):
    for chops in range(3):
        before = [0, 0, 0]
        before[food] = chops
        state, ts = act(LEFT, BESIDE_KNIFE, {food: KNIFE}, before, task=task)
        assert int(state.physics.kitchen.chops[food]) == chops + 1 and where(state, food) == KNIFE
        assert float(ts.reward) == pytest.approx(reward if chops == 2 else -0.1)


def test_two_foods_chopped_in_one_step_pay_together():
    items = {TOMATO: KNIFE, ONION: (2, 0)}
    _, ts = act(LEFT, (1, 1), items, (2, 0, 2), others=[(2, 1), (5, 5)], also=(LEFT, STAY))
    assert float(ts.reward) == pytest.approx(19.9)


RECIPES = [{TOMATO}, {LETTUCE}, {ONION}, {LETTUCE, TOMATO}, {ONION, TOMATO}, {LETTUCE, ONION}]
RECIPES += [{LETTUCE, ONION, TOMATO}]


def test_recipes():
    assert [set(recipe) for recipe in layout.RECIPES.values()] == RECIPES
    assert envs.make("Overcooked-A", task=4).recipe == (TOMATO, ONION)


@pytest.mark.parametrize("task", [0, 4, 6])
def test_the_recipe_is_served_and_nothing_else(task):
    env, advance = jitted("Overcooked-A-primitive", task=task)
    for bits in range(8):
        foods = {f for f in range(3) if bits >> f & 1}
        items = {PLATE2: HELD} | dict.fromkeys(foods, ON_PLATE + 1)
        chops = [3 * (f in foods) for f in range(3)]
        state, ts = advance(place(env, [(3, 1), *AWAY], items, chops), [LEFT, STAY, STAY])
        right = foods == RECIPES[task]
        assert bool(ts.terminal) == right and not ts.truncated
        assert float(ts.reward) == pytest.approx(199.9 if right else -5.1)
        if right:
            assert where(state, PLATE2) == HATCH and all(where(state, f) == ON_PLATE + 1 for f in foods)
        else:  # everything is back where it started, raw
            assert state.physics.kitchen.place.tolist() == list(env.layout.items)
            assert not state.physics.kitchen.chops.any()


@pytest.mark.parametrize("chops", [0, 3])
def test_wrong_delivery_of_a_food(chops):
    state, ts = act(LEFT, BESIDE_HATCH, {ONION: HELD}, (0, 0, chops))
    assert float(ts.reward) == pytest.approx(-5.1) and not ts.terminal
    assert where(state, ONION) == (2, 6) and not state.physics.kitchen.chops.any()


def test_delivery_does_not_cut_the_step_short():
    items = {PLATE1: HELD, TOMATO: ON_PLATE, LETTUCE: KNIFE}
    state, ts = act(LEFT, (3, 1), items, (3, 2, 0), others=[(1, 1), (4, 4)], also=(LEFT, UP), task=0)
    assert float(ts.reward) == pytest.approx(199.9) and ts.terminal  # lettuce is not in this recipe
    assert int(state.physics.kitchen.chops[LETTUCE]) == 3 and cells_of(state)[2] == (3, 4)


def test_q6_race_put_down():
    # Agent 0 takes the lettuce; agent 1, holding the onion, finds a plain counter and leaves the onion there.
    items = {LETTUCE: (2, 3), ONION: HAND + 1}
    state, _ = act(RIGHT, (2, 2), items, others=[(2, 4), (5, 5)], also=(LEFT, STAY), kitchen="C")
    assert where(state, LETTUCE) == HAND and where(state, ONION) == (2, 3)
    # The other way round the onion finds the lettuce in its way.
    items = {LETTUCE: (2, 3), ONION: HAND}
    state, _ = act(RIGHT, (2, 2), items, others=[(2, 4), (5, 5)], also=(LEFT, STAY), kitchen="C")
    assert where(state, LETTUCE) == HAND + 1 and where(state, ONION) == HAND


def test_an_item_put_down_can_be_taken_in_the_same_step():
    state, _ = act(RIGHT, (2, 2), {ONION: HAND}, others=[(2, 4), (5, 5)], also=(LEFT, STAY), kitchen="C")
    assert where(state, ONION) == HAND + 1


def test_q7_overlap():
    # The onion lies where the lettuce starts, and the lettuce comes back on top of it.
    state, ts = act(LEFT, BESIDE_HATCH, {LETTUCE: HELD, ONION: (1, 6)})
    assert float(ts.reward) == pytest.approx(-5.1)
    assert where(state, LETTUCE) == where(state, ONION) == (1, 6)
    assert state.physics.kitchen.hidden.tolist() == [False, False, True, False, False]
    np.testing.assert_allclose(ts.state[3:5], ts.state[6:8])  # still observable
    # Taking the lettuce leaves a plain counter: the onion stays out of reach, and something can be put on it.
    overlap = {LETTUCE: (1, 6), ONION: (1, 6)}
    state, _ = act(RIGHT, (1, 5), overlap, hidden=(ONION,))
    assert where(state, LETTUCE) == HAND and bool(state.physics.kitchen.hidden[ONION])
    state, _ = act(RIGHT, (1, 5), {ONION: (1, 6), LETTUCE: (4, 0)}, hidden=(ONION,))
    assert where(state, ONION) == (1, 6)
    state, _ = act(RIGHT, (1, 5), {ONION: (1, 6), PLATE1: HELD, LETTUCE: (4, 0)}, hidden=(ONION,))
    assert where(state, PLATE1) == (1, 6) and bool(state.physics.kitchen.hidden[ONION])
    # A plate that comes back to where the other one lies does not hide it.
    state, _ = act(LEFT, BESIDE_HATCH, {PLATE1: HELD, PLATE2: (5, 6)})
    assert where(state, PLATE1) == where(state, PLATE2) == (5, 6) and not state.physics.kitchen.hidden.any()
    # A hidden plate is found again when a plate is put on it, and the lower number comes first.
    state, _ = act(RIGHT, (1, 5), {LETTUCE: (4, 0), PLATE1: (1, 6), PLATE2: HELD}, hidden=(PLATE1,))
    assert not state.physics.kitchen.hidden.any() and where(state, PLATE2) == (1, 6)
    state, _ = act(RIGHT, (1, 5), {LETTUCE: (4, 0), PLATE1: (1, 6), PLATE2: (1, 6)})
    assert where(state, PLATE1) == HAND and bool(state.physics.kitchen.hidden[PLATE2])


# -- macro-actions (section 8)


def start_macro(env_id, macro, agents, items=None, chops=(0, 0, 0), belief=None, also=(0, 0), **options):
    """One step with agent 0 choosing `macro`: its cell, whether it ended, state, TimeStep."""
    env, advance = jitted(f"Overcooked-{env_id}", **options)
    state = place(env, agents, items, chops, belief=belief)
    state, ts = advance(state, [macro, *also])
    return cells_of(state)[0], bool(ts.ended[0]), state, ts


@pytest.mark.slow
def test_chopping_takes_three_steps_even_in_vain():
    env, advance = jitted("Overcooked-A")
    for items in ({TOMATO: KNIFE}, {TOMATO: KNIFE, PLATE1: HELD}):  # with something in hand nothing is chopped
        state = place(env, [(1, 1), *AWAY], items)
        for step in range(1, 4):
            state, ts = advance(state, [CHOP, 0, 0])
            assert ts.ended.tolist() == [step == 3, True, True]
        assert int(state.physics.kitchen.chops[TOMATO]) == (0 if PLATE1 in items else 3)
        assert int(state.physics.chop_count[0]) == 0
    assert start_macro("A", CHOP, [(1, 1), *AWAY], {TOMATO: KNIFE}, (3, 0, 0))[1]
    assert start_macro("A", CHOP, [(1, 1), *AWAY])[1]


def test_get_and_go_to_knife_end_with_the_handling():
    _, ended, state, _ = start_macro("A", GET + LETTUCE, [(1, 4), *AWAY])
    assert not ended and cells_of(state)[0] == (1, 5)
    _, ended, state, _ = start_macro("A", GET + LETTUCE, [(1, 5), *AWAY])
    assert ended and where(state, LETTUCE) == HAND
    assert start_macro("A", KNIFE1, [(1, 2), *AWAY])[:2] == ((1, 1), True)  # empty hand: arriving is enough
    at, ended, state, _ = start_macro("A", KNIFE1, [(1, 2), *AWAY], {ONION: HELD})
    assert (at, ended) == ((1, 1), False)
    at, ended, state, _ = start_macro("A", KNIFE1, [(1, 1), *AWAY], {ONION: HELD})
    assert ended and where(state, ONION) == KNIFE


def test_get_raw_food_from_a_knife_only_arrives():
    at, ended, *_ = start_macro("A", GET + TOMATO, [(1, 2), *AWAY], {TOMATO: KNIFE})
    assert (at, ended) == ((1, 1), True)
    at, ended, state, _ = start_macro("A", GET + TOMATO, [(1, 1), *AWAY], {TOMATO: KNIFE}, (1, 0, 0))
    assert ended and state.physics.kitchen.chops.tolist() == [1, 0, 0]


def test_get_plate_with_a_food_in_hand():
    _, ended, state, _ = start_macro("A", GET + PLATE1, [(5, 5), *AWAY], {ONION: HELD}, (0, 0, 3))
    assert not ended and where(state, ONION) == ON_PLATE  # first the food goes onto the plate, then it is taken
    _, ended, state, _ = start_macro("A", GET + PLATE1, [(5, 5), *AWAY], {ONION: HELD})
    assert ended and where(state, ONION) == HAND and where(state, PLATE1) == (5, 6)


def test_q1_q3_wrong_beliefs():
    # Agent 0 believes that the onion is where it started; agent 1 holds it elsewhere: one step at a time.
    wrong = [(0, ONION, (2, 6))]
    at, ended, state, _ = start_macro("A", GET + ONION, [(1, 2), (5, 2), (5, 3)], {ONION: HAND + 1}, belief=wrong)
    assert (at, ended) == ((2, 2), True)
    # Right beside that cell it stays, again and again.
    at, ended, state, _ = start_macro("A", GET + ONION, [(2, 5), (5, 2), (5, 3)], {ONION: HAND + 1}, belief=wrong)
    assert (at, ended) == ((2, 5), True) and divmod(int(state.physics.belief.items[0, ONION]), ROW) == (2, 6)
    # What another agent in view holds is not there to be got.
    at, ended, *_ = start_macro("A", GET + ONION, [(2, 2), (2, 3), (5, 3)], {ONION: HAND + 1})
    assert (at, ended) == ((2, 2), True)
    at, ended, *_ = start_macro("A", GET + ONION, [(2, 2), (2, 5), (5, 3)], {ONION: HAND + 1})  # too far to see it
    assert (at, ended) == ((2, 3), False)


@pytest.mark.slow
def test_q3_unreachable_ends_at_once():
    at, ended, *_ = start_macro("B", GET + TOMATO, [(1, 2), (1, 4), (5, 2)])
    assert (at, ended) == ((1, 2), True)


@pytest.mark.slow
def test_q5_go_to_counter():
    left = [(3, 2), (1, 4), (5, 2)]
    at, ended, state, _ = start_macro("B", COUNTER, left)
    assert (at, ended) == ((3, 2), True) and (state.physics.kitchen.place < HAND).all()
    _, ended, state, _ = start_macro("B", COUNTER, left, {ONION: HELD})
    assert ended and where(state, ONION) == (3, 3)
    # The middle first, then up and down in turn; with no counter free it ends.
    at, ended, *_ = start_macro("B", COUNTER, left, {LETTUCE: HELD, ONION: (3, 3)})
    assert (at, ended) == ((2, 2), False)
    at, ended, *_ = start_macro("B", COUNTER, left, {LETTUCE: HELD, ONION: (3, 3), TOMATO: (2, 3)})
    assert (at, ended) == ((4, 2), False)
    full = {TOMATO: (1, 3), LETTUCE: (2, 3), ONION: (3, 3), PLATE1: (4, 3), PLATE2: (5, 3)}
    assert start_macro("B", COUNTER, left, full)[:2] == ((3, 2), True)
    full.pop(PLATE2)  # the last counter of map C is a gap
    assert start_macro("C", COUNTER, left, full)[:2] == ((3, 2), True)


def test_q5_go_to_counter_without_a_way_goes_on():
    # Agent 0 believes that items lie around it.
    walls = [(0, TOMATO, (4, 2)), (0, LETTUCE, (4, 1)), (0, ONION, (5, 3)), (0, PLATE1, (4, 3))]
    at, ended, *_ = start_macro("C", COUNTER, [(5, 1), (1, 5), (2, 5)], belief=[*walls, (0, PLATE2, (5, 2))])
    assert (at, ended) == ((5, 1), False)


def test_side_steps():
    at, ended, *_ = start_macro("A", DELIVER, [(1, 1), (2, 1), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((1, 2), False)
    at, ended, *_ = start_macro("A", DELIVER, [(1, 1), (2, 2), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((2, 1), False)
    at, ended, *_ = start_macro("A", KNIFE1, [(3, 1), (2, 1), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((3, 2), False)
    at, ended, *_ = start_macro("A", GET + TOMATO, [(3, 1), (2, 1), (5, 5)], {TOMATO: KNIFE}, (3, 0, 0))
    assert (at, ended) == ((3, 2), False)  # whatever is believed to be on knife 1
    at, ended, *_ = start_macro("A", KNIFE2, [(3, 1), (2, 1), (5, 5)], {ONION: HELD})
    assert (at, ended) == ((3, 1), False)


def test_q9_food_on_a_plate_is_not_got():
    on_plate = {PLATE1: (2, 6), ONION: ON_PLATE}
    assert start_macro("A", GET + ONION, [(2, 4), *AWAY], on_plate, (0, 0, 3))[:2] == ((2, 4), True)
    at, ended, *_ = start_macro("A", GET + ONION, [(2, 3), *AWAY], on_plate, (0, 0, 3))  # too far to see it
    assert (at, ended) == ((2, 4), False)


def test_q2_steps_are_blocked_by_what_is_believed_to_be_there():
    right = 10  # map A
    assert start_macro("A", right, [(2, 2), *AWAY])[:2] == ((2, 3), True)
    assert start_macro("A", right, [(2, 2), (2, 3), (5, 5)], also=(right, 0))[:2] == ((2, 2), True)
    assert start_macro("A", right, [(2, 2), *AWAY], belief=[(0, TOMATO, (2, 3))])[:2] == ((2, 2), True)
    _, _, state, _ = start_macro("A", right, [(1, 5), *AWAY])  # never takes anything
    assert where(state, LETTUCE) == (1, 6)


def test_q10_serving_does_not_end_the_others_macro_actions():
    items = {PLATE1: HELD, TOMATO: ON_PLATE, LETTUCE: ON_PLATE, ONION: ON_PLATE}
    _, ended, _, ts = start_macro("A", DELIVER, [(3, 1), (1, 4), (5, 5)], items, (3, 3, 3), also=(KNIFE1, 0))
    assert ended and ts.terminal and ts.ended.tolist() == [True, False, True]
    assert float(ts.reward) == pytest.approx(199.9)
