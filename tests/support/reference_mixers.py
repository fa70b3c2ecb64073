"""The mixers of the reference losses, one row at a time (docs/specifications/mixers.md)."""

from typing import Any, NamedTuple

import autograd.numpy as np
import numpy
from support.reference_networks import (
    elu,
    linear,
    one_hot,
    perceptron,
    sigmoid,
    stacked_perceptron,
    stop_gradient,
)

INFEASIBLE = -1e9
POSITIVE = 1e-10


class Row(NamedTuple):
    """What a mixer reads of one row; lists have an entry per agent."""

    utilities: list  # [actions]
    chosen: list  # macro-action that runs, new or ongoing
    feasible: list  # [actions] bool: what is available where the agent chooses, else what it runs alone
    available: list  # [actions] bool, whoever chooses
    hidden: list  # [hidden]
    value: list | None  # V of raw dueling heads
    state: Any  # [state] with encoded histories behind it, if any
    plain_state: Any  # [state] without them


def greedy(utilities, feasible):
    """The best feasible macro-action, ties to the lowest."""
    return int(numpy.argmax(numpy.where(feasible, stop_gradient(utilities), INFEASIBLE)))


def best(utilities, feasible):
    return utilities[greedy(utilities, feasible)]


def chosen_utilities(row):
    return [utilities[chosen] for utilities, chosen in zip(row.utilities, row.chosen, strict=True)]


def vdn(params, row, settings):
    """Section 1: the sum of the utilities."""
    return np.sum(np.stack(chosen_utilities(row)))


def qmix(params, row, settings):
    """Section 2, `weight_floor` of section 5.

    Of a state with encoded histories only the plain part reaches w2 and v (tomacvf.md, section 4). The first
    bias may be made non-negative, but not in ToMacVF without attention (tomacvf.md, section 8).
    """
    params = params["params"]
    weight = np.abs(perceptron(params["w1"], row.state))
    hidden = linear(params["b1"], row.state)
    width = hidden.shape[0]
    if settings.b1_abs and getattr(settings, "ablation", "none") not in ("atpg", "both"):
        hidden = np.abs(hidden)
    for agent, utility in enumerate(chosen_utilities(row)):
        hidden = hidden + utility * weight[agent * width : (agent + 1) * width]
    second = np.abs(perceptron(params["w2"], row.plain_state))
    joint = np.sum(elu(hidden) * second) + perceptron(params["v"], row.plain_state)[0]
    return joint + settings.weight_floor * vdn(params, row, settings)


def qplex(params, row, settings):
    """Section 3 with section 5 (V over the feasible set, `weight_floor`).

    It is the sum of w Q + b and of (lambda - 1) times the advantages.
    """
    params, kernels, state = params["params"], settings.kernels, row.state
    actions = row.utilities[0].shape[0]
    weight = np.abs(perceptron(params["weight"], state)) + POSITIVE + settings.weight_floor
    bias = perceptron(params["bias"], state)
    choice = np.concatenate([state, *(one_hot(chosen, actions) for chosen in row.chosen)])
    key = np.abs(stacked_perceptron(params["key"], state, kernels)) + POSITIVE
    of_agents = sigmoid(stacked_perceptron(params["agents"], state, kernels))
    of_choice = sigmoid(stacked_perceptron(params["action"], choice, kernels))
    importance = np.sum(key * of_agents * of_choice, axis=0)
    total = 0.0
    for agent, utility in enumerate(chosen_utilities(row)):
        if row.value is not None:
            value = row.value[agent]
        else:
            allowed = row.feasible if settings.v_over_feasible else row.available
            value = best(row.utilities[agent], allowed[agent])
        advantage = stop_gradient(weight[agent] * (utility - value))
        total = total + weight[agent] * utility + bias[agent] + (importance[agent] - 1.0) * advantage
    return total


def qtran(params, row, settings):
    """Section 4: the joint value of the macro-actions that run."""
    return joint_critic(params["params"], row, row.chosen)


def joint_critic(params, row, joint_action):
    actions, encoded = row.utilities[0].shape[0], 0.0
    for hidden, chosen in zip(row.hidden, joint_action, strict=True):
        encoded = encoded + perceptron(params["encoder"], np.concatenate([hidden, one_hot(chosen, actions)]))
    return perceptron(params["joint"], np.concatenate([row.state, encoded]))[0]


def qtran_auxiliary(params, row, settings):
    """Section 4: the losses at the (conditional) greedy choice and at the one taken, weighted."""
    params = params["params"]
    value = perceptron(params["value"], row.state)[0]
    pairs = list(zip(row.utilities, row.feasible, strict=True))
    joint_greedy = [greedy(utilities, feasible) for utilities, feasible in pairs]
    at_greedy = stop_gradient(joint_critic(params, row, joint_greedy))
    at_chosen = stop_gradient(joint_critic(params, row, row.chosen))
    optimal = sum(best(utilities, feasible) for utilities, feasible in pairs) - at_greedy + value
    taken = sum(chosen_utilities(row)) - at_chosen + value
    taken = np.where(taken < 0, taken, 0.0)
    return settings.opt_weight * optimal**2 + settings.nopt_weight * taken**2


JOINT_VALUES = {"vdn": vdn, "qmix": qmix, "qplex": qplex, "qtran": qtran}


def joint_value(mixer, params, row, settings):
    """Q_tot of a row."""
    return JOINT_VALUES[mixer](params, row, settings)


def auxiliary_loss(mixer, params, row, settings):
    """What the mixer adds to the squared error of a row."""
    return qtran_auxiliary(params, row, settings) if mixer == "qtran" else 0.0


def head_of(dueling, mixer):
    """The dueling head that "auto" stands for (docs/specifications/avf.md, section 3)."""
    return ("centred" if mixer == "qplex" else "none") if dueling == "auto" else dueling
