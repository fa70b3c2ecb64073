"""Stored episodes as the reference losses read them, and their joint rows.

Sections are those of docs/specifications/avf.md. Everything that can be derived from the flags is derived from them
again, step by step.
"""

from dataclasses import dataclass
from typing import Any

import numpy


class Record:
    """One episode of a stored batch in float64, cut at its end: what lies behind is never read."""

    def __init__(self, batch, index):
        mask = numpy.asarray(batch.mask[index])
        self.length = int(mask.sum())
        assert mask[: self.length].all()

        def read(name, extra, dtype):
            return numpy.asarray(getattr(batch, name)[index])[: self.length + extra].astype(dtype)

        self.obs, self.state = read("obs", 1, float), read("state", 1, float)
        self.available = read("avail", 1, bool)
        self.macro_action, self.ended = read("macro_action", 0, int), read("ended", 0, bool)
        self.reward = read("reward", 0, float)
        self.terminal, self.truncated = read("terminal", 0, bool), read("truncated", 0, bool)
        self.agents, self.actions = self.available.shape[1:]
        self.chosen_at = self._scan_choices()

    def _scan_choices(self):
        """`[length + 1, agents]`: when what runs then was chosen; at the end, what would run next."""
        chosen_at = numpy.zeros((self.length + 1, self.agents), int)
        for step in range(self.length):
            chosen_at[step + 1] = numpy.where(self.ended[step], step + 1, chosen_at[step])
        return chosen_at

    def last_action(self, agent, step):
        """The agent's macro-action on the step before, -1 at the start."""
        return self.macro_action[step - 1, agent] if step > 0 else -1

    def closing(self, settings):
        """`[length, agents]`: where a macro-action yields a row; by option an environment termination ends all."""
        return self.ended | (self.terminal[:, None] & settings.close_on_terminal)

    def is_terminal(self, step, settings):
        """Whether no value follows a step."""
        return bool(self.terminal[step]) or (settings.timeout_is_terminal and bool(self.truncated[step]))

    def discounted_reward(self, first, last, gamma):
        """Sum of gamma^(t - first) r_t over the steps from `first` to `last`, both included."""
        return sum(gamma ** (step - first) * self.reward[step] for step in range(first, last + 1))


@dataclass
class JointRow:
    """The steps from the last end of any macro-action to the next one; arrays have an entry per agent."""

    first_step: int
    last_step: int
    chosen_at: Any  # step at which the running macro-action was chosen
    next_chosen_at: Any  # and the one that runs after the row
    ended: Any  # it ended with the row
    macro_action: Any
    reward: float
    duration: float
    macro_state: Any
    next_macro_state: Any
    terminal: bool

    def feasible(self, record, agent):
        """What the agent may run during the row: all that is available if it chooses at its first step."""
        if self.chosen_at[agent] == self.first_step:
            return record.available[self.first_step, agent]
        return numpy.arange(record.actions) == self.macro_action[agent]

    def next_feasible(self, record, agent):
        """What it may run after the row."""
        if self.ended[agent]:
            return record.available[self.last_step + 1, agent]
        return numpy.arange(record.actions) == self.macro_action[agent]


def joint_rows(record, settings):
    """All joint rows of an episode; steps after the last end of a macro-action belong to none."""
    rows, first = [], 0
    closing = record.closing(settings)
    for step in range(record.length):
        ended = closing[step]
        if not ended.any():
            continue
        chosen_at = record.chosen_at[step]
        next_chosen_at = numpy.where(ended, step + 1, chosen_at)
        reward, duration = row_reward(record, settings, first, step, ended)
        states = macro_states(record, settings, first, step, chosen_at, next_chosen_at, ended)
        rows.append(
            JointRow(
                first_step=first,
                last_step=step,
                chosen_at=chosen_at,
                next_chosen_at=next_chosen_at,
                ended=ended,
                macro_action=record.macro_action[step],
                reward=reward,
                duration=duration,
                macro_state=states[0],
                next_macro_state=states[1],
                terminal=record.is_terminal(step, settings),
            )
        )
        first = step + 1
    return rows


def row_reward(record, settings, first, last, ended):
    """(reward, duration) of a row under the reward scheme (section 1); of equals the lowest agent counts."""
    if settings.reward_scheme == "joint":
        return record.discounted_reward(first, last, settings.gamma), last - first + 1
    own = []
    for agent in numpy.flatnonzero(ended):
        began = record.chosen_at[last, agent]
        own.append((record.discounted_reward(began, last, settings.gamma), last - began + 1))
    if settings.reward_scheme == "mean":
        return numpy.mean([reward for reward, _ in own]), numpy.mean([duration for _, duration in own])
    if settings.reward_scheme == "own":
        return max(own, key=lambda pair: pair[1])
    return {"max": max, "min": min}[settings.reward_scheme](own, key=lambda pair: pair[0])


def macro_states(record, settings, first, last, chosen_at, next_chosen_at, ended):
    """What the mixer sees of the state in a row and after it (section 2)."""
    state = record.state
    if settings.macro_state == "joint":
        return numpy.concatenate(state[chosen_at]), numpy.concatenate(state[next_chosen_at])
    if settings.macro_state == "real":
        return state[last], state[last + 1]
    if settings.macro_state == "start":
        return state[first], state[last + 1]
    latest = max(numpy.flatnonzero(ended), key=lambda agent: chosen_at[agent])  # of equals the lowest agent
    return state[chosen_at[latest]], state[next_chosen_at[latest]]


def window_of(rows, settings, window_start):
    """Rows that the recurrent networks run over, and how many of them come before those that count (section 5).

    The window begins at `window_start`, in its unit. With `unroll_episode` the rows before it carry the history. Of
    more than `max_rows` rows the last ones stay; a capped "episode" is a window of that many joint rows.
    """
    unit, size = settings.trajectory_unit, settings.trajectory
    if unit == "episode" and settings.max_rows:
        unit, size = "rows", settings.max_rows
    inside = []
    for index, row in enumerate(rows):
        place = row.last_step if unit == "steps" else index
        if unit == "episode" or window_start <= place < window_start + size:
            inside.append(index)
    if not inside:
        return [], 0
    first, end = 0 if settings.unroll_episode else inside[0], inside[-1] + 1
    if settings.max_rows:
        first = max(first, end - settings.max_rows)
    return rows[first:end], max(inside[0] - first, 0)
