"""The loss of ToMacVF as a reference (docs/specifications/tomacvf.md, sections 2 to 5)."""

import numpy
from support.reference_avf import hysteretic, mixer_row
from support.reference_mixers import auxiliary_loss, greedy, head_of, joint_value
from support.reference_networks import (
    attended_histories,
    of_agent,
    one_hot,
    stop_gradient,
    temporal_encoding,
    unroll,
)


def tomacvf_loss(params, target, records, weights, settings):
    """Weighted means of the squared micro and macro errors, and of what the mixer adds (section 5).

    Arguments as in `avf_loss`; an episode is learned from as a whole.
    """
    micro, macro, added = [], [], []
    for record, weight in zip(records, weights, strict=True):
        online = team_outputs(params, record, settings)
        values, auxiliary = values_of(params, record, online, settings)
        bootstraps = bootstraps_of(target, record, online, settings)
        targets = micro_targets(record, bootstraps, settings)
        errors = [td_target - value for td_target, value in zip(targets, values, strict=True)]
        micro.extend(weight * hysteretic(error, settings) ** 2 for error in errors)
        errors = macro_errors(record, values, bootstraps, targets, settings)
        macro.extend(weight * hysteretic(error, settings) ** 2 for error in errors)
        added.extend(weight * loss for loss in auxiliary)
    return settings.micro_weight * mean(micro) + settings.macro_weight * mean(macro) + mean(added)


def mean(terms):
    """The mean of a list, 0 of none."""
    return sum(terms) / max(len(terms), 1)


def micro_targets(record, bootstraps, settings):
    """One per step: n steps of reward (fewer at the end), then what is ahead."""
    targets = [None] * record.length
    for step in reversed(range(record.length)):
        last = min(step + settings.n_step, record.length) - 1
        targets[step] = settings.reward_scale * record.discounted_reward(step, last, settings.gamma)
        if not record.is_terminal(last, settings):
            targets[step] += settings.gamma ** (last + 1 - step) * ahead(step, last, bootstraps, targets, settings)
    return targets


def ahead(first, last, bootstraps, targets, settings):
    """The value after the steps `first` to `last`, of which a share lambda^steps is the target there."""
    share = settings.td_lambda ** (last + 1 - first) if last + 1 < len(targets) else 0.0
    return (1 - share) * bootstraps[last + 1] + (share * targets[last + 1] if share else 0.0)


def macro_errors(record, values, bootstraps, targets, settings):
    """One per macro-action that closes: its reward from the step it was chosen at, then the value after it."""
    errors, closing = [], record.closing(settings)
    for step in range(record.length):
        for agent in numpy.flatnonzero(closing[step]):
            first = record.chosen_at[step, agent]
            td_target = settings.reward_scale * record.discounted_reward(first, step, settings.gamma)
            if not record.is_terminal(step, settings):
                future = ahead(first, step, bootstraps, targets, settings)
                td_target = td_target + settings.gamma ** (step + 1 - first) * future
            errors.append(td_target - values[first])
    return errors


def values_of(params, record, online, settings):
    """Q_tot of the macro-actions that run at every step, and what the mixer adds to the loss there."""
    histories, values, added = histories_of(params, record, settings), [], []
    for step in range(record.length):
        running = record.macro_action[step]
        feasible = feasible_at(record, step, running)
        row = mixer_row(
            online, step, running, feasible, record.available[step], record.state[step], histories, settings
        )
        values.append(joint_value(settings.mixer, params["mixer"], row, settings))
        added.append(auxiliary_loss(settings.mixer, params["mixer"], row, settings))
    return values, added


def bootstraps_of(target, record, online, settings):
    """The target networks' value of the conditional greedy choice at every entry but the first (None)."""
    later = team_outputs(target, record, settings)
    chooser = online if settings.double_q else later
    histories, values = histories_of(target, record, settings), [None]
    for step in range(1, record.length + 1):
        feasible = feasible_at(record, step, record.macro_action[step - 1])
        choice = [greedy(of.utilities[step], allowed) for of, allowed in zip(chooser, feasible, strict=True)]
        row = mixer_row(
            later, step, choice, feasible, record.available[step], record.state[step], histories, settings
        )
        values.append(stop_gradient(joint_value(settings.mixer, target["mixer"], row, settings)))
    return values


def feasible_at(record, step, running):
    """All that is available to an agent that must choose at `step`, else what it runs."""
    return [
        record.available[step, agent]
        if record.chosen_at[step, agent] == step
        else numpy.arange(record.actions) == running[agent]
        for agent in range(record.agents)
    ]


def perceived(record, agent, step, settings):
    """Fresh observation, the episode's clock, the progress of what runs, last macro-action (sections 2 and 3)."""
    size, progress = settings.encoding_size, step - record.chosen_at[step, agent]
    clocks = temporal_encoding(step, size), temporal_encoding(progress, size)
    last_action = one_hot(record.last_action(agent, step), record.actions)
    return numpy.concatenate([record.obs[step, agent], *clocks, last_action])


def team_outputs(params, record, settings):
    """`Outputs` of every agent; networks advance at every step."""
    outputs = []
    for agent in range(record.agents):
        inputs = [perceived(record, agent, step, settings) for step in range(record.length + 1)]
        if settings.share_parameters:
            inputs = [numpy.concatenate([x, one_hot(agent, record.agents)]) for x in inputs]
        layers = of_agent(params["agents"], agent, settings.share_parameters)
        head, count = head_of(settings.dueling, settings.mixer), settings.num_actions[agent]
        outputs.append(unroll(layers, inputs, [True] * len(inputs), head, count))
    return outputs


def histories_of(params, record, settings):
    """What the attention makes of all agents' pasts at every entry (section 4); None without it."""
    if "context" not in params:
        return None
    steps, agents = range(record.length + 1), range(record.agents)
    tokens = [[perceived(record, agent, step, settings) for agent in agents] for step in steps]
    return attended_histories(params["context"], tokens, settings)
