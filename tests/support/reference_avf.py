"""The loss of AVF, and of ToMacVF without Mac-SJERT, as a reference (docs/specifications/avf.md, section 4)."""

import autograd.numpy as np
import numpy
from support.reference_mixers import Row, auxiliary_loss, greedy, head_of, joint_value
from support.reference_networks import attended_histories, of_agent, one_hot, stop_gradient, unroll
from support.reference_rows import joint_rows, window_of


def avf_loss(params, target, records, window_starts, weights, settings):
    """Mean over all rows of the squared (hysteretic) error, and of what the mixer adds.

    Args:
        params: parameters by network ("agents", "mixer", and "context" where histories are attended to).
        target: those of the target networks.
        records: list of `Record`.
        window_starts: first step, or joint row, of each one's window.
        weights: factor on the losses of each one's rows.
        settings: hyperparameters as attributes, `mixer` and `num_actions` besides.
    """
    terms = []
    for record, window_start, weight in zip(records, window_starts, weights, strict=True):
        sequence, history = window_of(joint_rows(record, settings), settings, window_start)
        if sequence:
            errors = errors_of(params, target, record, sequence, settings)[history:]
            terms.extend(weight * (hysteretic(error, settings) ** 2 + added) for error, added in errors)
    return sum(terms) / max(len(terms), 1)


def hysteretic(error, settings):
    """Negative errors, where the target lies below the estimate, count for less."""
    return error * (settings.hysteresis if stop_gradient(error) < 0 else 1.0)


def errors_of(params, target, record, sequence, settings):
    """[(target minus value, auxiliary loss)] of rows that follow each other."""
    online = team_outputs(params, record, sequence, settings)
    later = team_outputs(target, record, sequence, settings)
    histories, target_histories = (histories_of(p, record, sequence, settings) for p in (params, target))
    terms, following = [], None
    for index, row in reversed(list(enumerate(sequence))):
        now = row_inputs(record, row, online, index, histories, settings)
        value = joint_value(settings.mixer, params["mixer"], now, settings)
        after = next_inputs(record, row, online, later, index + 1, target_histories, settings)
        bootstrap = stop_gradient(joint_value(settings.mixer, target["mixer"], after, settings))
        td_target = settings.reward_scale * row.reward
        if not row.terminal:
            if following is not None:  # the lambda-return goes on with the row after this one
                bootstrap = (1 - settings.td_lambda) * bootstrap + settings.td_lambda * following
            td_target = td_target + settings.gamma**row.duration * bootstrap
        following = td_target
        terms.append((td_target - value, auxiliary_loss(settings.mixer, params["mixer"], now, settings)))
    return terms[::-1]


def observed_at(sequence, entry, agent):
    """The step of the macro-observation that an agent has at an entry: entry k + 1 is what is known after row k."""
    return sequence[0].chosen_at[agent] if entry == 0 else sequence[entry - 1].next_chosen_at[agent]


def team_outputs(params, record, sequence, settings):
    """`Outputs` of every agent over the rows and after the last: networks advance where their agent decides."""
    outputs = []
    for agent in range(record.agents):
        inputs = []
        for entry in range(len(sequence) + 1):
            step = observed_at(sequence, entry, agent)
            parts = [record.obs[step, agent]]
            if settings.obs_last_action:
                parts.append(one_hot(record.last_action(agent, step), record.actions))
            if settings.share_parameters:
                parts.append(one_hot(agent, record.agents))
            inputs.append(numpy.concatenate(parts))
        advance = [True, *(bool(row.ended[agent]) for row in sequence)]
        layers = of_agent(params["agents"], agent, settings.share_parameters)
        head = head_of(settings.dueling, settings.mixer)
        outputs.append(unroll(layers, inputs, advance, head, settings.num_actions[agent]))
    return outputs


def histories_of(params, record, sequence, settings):
    """Encoded histories over joint rows, without clocks (docs/specifications/tomacvf.md, section 8); None: none."""
    if "context" not in params:
        return None
    tokens = []
    for entry in range(len(sequence) + 1):
        tokens.append([])
        for agent in range(record.agents):
            step = observed_at(sequence, entry, agent)
            last_action = one_hot(record.last_action(agent, step), record.actions)
            tokens[-1].append(numpy.concatenate([record.obs[step, agent], last_action]))
    return attended_histories(params["context"], tokens, settings)


def mixer_row(outputs, entry, chosen, feasible, available, state, histories, settings):
    """What the mixer reads of the `entry` of the agents' sequences."""
    raw = head_of(settings.dueling, settings.mixer) == "raw"
    if settings.normalise_state:
        state = (state - state.mean()) / (state.std() + 0.01)
    return Row(
        utilities=[of.utilities[entry] for of in outputs],
        chosen=chosen,
        feasible=feasible,
        available=available,
        hidden=[of.hidden[entry] for of in outputs],
        value=[of.value[entry] for of in outputs] if raw else None,
        state=state if histories is None else np.concatenate([state, *histories[entry]]),
        plain_state=state,
    )


def row_inputs(record, row, online, entry, histories, settings):
    """The mixer's inputs for the macro-actions of a row."""
    feasible = [row.feasible(record, agent) for agent in range(record.agents)]
    available = record.available[row.first_step]
    return mixer_row(online, entry, row.macro_action, feasible, available, row.macro_state, histories, settings)


def next_inputs(record, row, online, later, entry, histories, settings):
    """The target mixer's inputs after a row: the conditional greedy choice, by the online networks if double Q."""
    feasible = [row.next_feasible(record, agent) for agent in range(record.agents)]
    chooser = online if settings.double_q else later
    choice = [greedy(of.utilities[entry], allowed) for of, allowed in zip(chooser, feasible, strict=True)]
    available = record.available[row.last_step + 1]
    return mixer_row(later, entry, choice, feasible, available, row.next_macro_state, histories, settings)
