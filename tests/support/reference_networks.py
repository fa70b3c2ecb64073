"""The networks of the reference losses, one vector at a time in plain loops (docs/specifications).

NumPy in float64 through `autograd`, which gives the gradients. Written from the specifications alone: all that it
shares with the code that it checks are the names under which parameters are stored.
"""

from typing import NamedTuple

import autograd.numpy as np
import numpy
from autograd.tracer import getval as stop_gradient


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def relu(x):
    return np.where(x > 0, x, 0.0)


def leaky_relu(x):
    return np.where(x > 0, x, 0.01 * x)


def elu(x):
    return np.where(x > 0, x, np.exp(np.where(x > 0, 0.0, x)) - 1.0)


def softmax(x):
    weight = np.exp(x - stop_gradient(np.max(x)))
    return weight / np.sum(weight)


def one_hot(index, size):
    """The unit vector of `index`; zeros where it names nothing (-1)."""
    vector = numpy.zeros(size)
    if index >= 0:
        vector[int(index)] = 1.0
    return vector


def temporal_encoding(steps, size):
    """Sines and cosines of a number of steps, interleaved (docs/specifications/tomacvf.md, section 2)."""
    vector = numpy.zeros(size)
    for pair in range(size // 2):
        angle = steps / 10000 ** (2 * pair / size)
        vector[2 * pair], vector[2 * pair + 1] = numpy.sin(angle), numpy.cos(angle)
    return vector


def linear(layer, x):
    return np.dot(x, layer["kernel"]) + layer["bias"]


def perceptron(layers, x):
    """Linear layers with a ReLU between them."""
    for index in range(len(layers)):
        x = linear(layers[f"linear_{index}"], x)
        if index < len(layers) - 1:
            x = relu(x)
    return x


def stacked_perceptron(layers, x, stack):
    """`stack` perceptrons that all read the vector `x`: `[stack, outputs]`; their first layers lie side by side."""
    first = linear(layers["linear_0"], x)
    width = first.shape[0] // stack
    outputs = []
    for member in range(stack):
        y = first[member * width : (member + 1) * width]
        for index in range(1, len(layers)):
            layer = layers[f"linear_{index}"]
            y = np.dot(relu(y), layer["kernel"][member]) + layer["bias"][member]
        outputs.append(y)
    return np.stack(outputs)


class Outputs(NamedTuple):
    """What the network of one agent gives along a sequence: one entry each per entry of the sequence."""

    utilities: list  # [actions]
    hidden: list  # [hidden]
    value: list  # V of a dueling head, a number


def of_agent(params, agent, shared):
    """One agent's own part of the parameters of the agents' networks."""
    layers = params["params"]
    if shared:
        return layers
    return {name: {leaf: array[agent] for leaf, array in layer.items()} for name, layer in layers.items()}


def normalised(layer, x):
    """Mean 0 and variance 1, then a factor and an offset for each unit."""
    deviation = x - np.mean(x)
    return deviation / np.sqrt(np.mean(deviation**2) + 1e-5) * layer["scale"] + layer["bias"]


def dense(layers, name, x):
    """A leaky-ReLU layer, normalised before the activation where the network has the parameters for it."""
    x = linear(layers[name], x)
    return leaky_relu(normalised(layers[f"{name}_norm"], x) if f"{name}_norm" in layers else x)


def hidden_size(cell):
    """Width of a recurrent layer by its weights."""
    return cell["weight"].shape[1] // 2 if "weight" in cell else cell["weight_hh"].shape[0]


def recurrent_step(cell, x, hidden):
    """A GRU with two bias vectors, PyTorch's form, or a minGRU (docs/specifications/avf.md, section 3)."""
    size = hidden.shape[0]
    if "weight" in cell:
        both = np.dot(x, cell["weight"]) + cell["bias"]
        share = sigmoid(both[:size])
        return hidden + share * (np.tanh(both[size:]) - hidden)
    from_input = np.dot(x, cell["weight_ih"]) + cell["bias_ih"]
    from_hidden = np.dot(hidden, cell["weight_hh"]) + cell["bias_hh"]
    reset = sigmoid(from_input[:size] + from_hidden[:size])
    update = sigmoid(from_input[size : 2 * size] + from_hidden[size : 2 * size])
    new = np.tanh(from_input[2 * size :] + reset * from_hidden[2 * size :])
    return (1.0 - update) * new + update * hidden


def utilities_at(layers, hidden, dueling, num_actions):
    """(Q, V) of one agent; a centred head takes the mean over the `num_actions` that the agent really has."""
    decoded = dense(layers, "decode", hidden)
    utilities = linear(layers["utilities"], decoded)
    if dueling == "none":
        return utilities, 0.0
    value = linear(layers["value"], decoded)[0]
    if dueling == "centred":
        utilities = utilities - np.mean(utilities[:num_actions])
    return utilities + value, value


def unroll(layers, inputs, advance, dueling, num_actions):
    """Outputs of one agent's network over `inputs`; where `advance` is False everything stays as it was before.

    The first entry must advance (docs/specifications/avf.md, sections 3 and 4).
    """
    hidden = np.zeros(hidden_size(layers["memory"]))
    sequence = Outputs([], [], [])
    for x, moves in zip(inputs, advance, strict=True):
        if moves:
            layer = 0
            while f"encode_{layer}" in layers:
                x = dense(layers, f"encode_{layer}", x)
                layer += 1
            hidden = recurrent_step(layers["memory"], x, hidden)
            utilities, value = utilities_at(layers, hidden, dueling, num_actions)
        for series, entry in zip(sequence, (utilities, hidden, value), strict=True):
            series.append(entry)
    return sequence


def attended_histories(params, tokens, settings):
    """Each agent's encoded history at every entry, `[entry][agent]` of vectors, from `tokens[entry][agent]`.

    Every agent's own encoder, causal attention over its own entries, then attention to the other agents at the same
    entry (docs/specifications/tomacvf.md, section 4).
    """
    layers, agents = params["params"], range(len(tokens[0]))
    encoded = [[encode_token(layers, token, agent) for agent, token in enumerate(entry)] for entry in tokens]
    heads = settings.attention_heads
    past = [[None for _ in agents] for _ in tokens]
    for agent in agents:
        own = np.stack([entry[agent] for entry in encoded])
        query, key, value = (np.dot(own, matrix) for matrix in layers["over_time"])
        for now in range(len(tokens)):
            earlier = slice(0, now + 1)
            past[now][agent] = attend(query[now], key[earlier], value[earlier], heads, lambda weight: weight)
    return [
        [attend_to_others(layers["across_agents"], np.stack(entry), agent, settings) for agent in agents]
        for entry in past
    ]


def encode_token(layers, token, agent):
    for name in ("encode_0", "encode_1"):
        token = relu(np.dot(token, layers[name]["kernel"][agent]) + layers[name]["bias"][agent])
    return token


def attend(query, keys, values, heads, keep):
    """Scaled dot-product attention of one query, head by head; `keep` changes the weights of each head."""
    width = query.shape[0] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        weight = keep(softmax(np.dot(keys[:, part], query[part]) / np.sqrt(width)))
        outputs.append(np.dot(weight, values[:, part]))
    return np.concatenate(outputs)


def attend_to_others(matrices, encoded, agent, settings):
    """Attention across agents: softmax over all, then the own entry and those below the threshold become 0."""
    query, key, value = (np.dot(encoded, matrix) for matrix in matrices)

    def keep(weight):
        kept = stop_gradient(weight) >= settings.attention_threshold
        kept[agent] = False
        weight = weight * kept
        if settings.attention_renormalise and kept.any():
            weight = weight / np.sum(weight)
        return weight

    output = attend(query[agent], key, value, settings.attention_heads, keep)
    return output + encoded[agent] if settings.attention_residual else output
