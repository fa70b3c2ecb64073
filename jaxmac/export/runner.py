"""Run an exported policy with NumPy alone. policy.json says what to pass, what is returned and when to call it."""

import json

import numpy as np


class Policy:
    """An exported policy with its hidden state: call `reset` before every episode, `act` when policy.json says."""

    def __init__(self, folder):
        try:
            with open(f"{folder}/policy.json", encoding="utf-8") as file:  # noqa: PTH123
                self.about = json.load(file)
        except FileNotFoundError:
            raise ValueError(f"there is no {folder}/policy.json: name the folder of one agent or team") from None
        if self.about["format"] != 1:
            raise ValueError(f"{folder} has format {self.about['format']}, this runner reads 1: export it again")
        with np.load(f"{folder}/weights.npz", allow_pickle=False) as file:
            self.weights = {name: file[name] for name in file.files}
        self.reset()

    def reset(self):
        """Start a new episode."""
        self.hidden = np.full(self.about["hidden"]["shape"], self.about["hidden"]["initial"], np.float32)

    def act(self, rng=None, **given):
        """The index of the greedy macro-action; for a team a list with one per agent.

        With `rng` (a NumPy generator) a policy whose output is logits samples from them instead. The attribute
        `outputs` then holds the output of the network for every (joint) macro-action.
        """
        if unknown := given.keys() - self.about["arguments"].keys():
            raise ValueError(f"unknown argument {min(unknown)}; known: {', '.join(self.about['arguments'])}")
        given = {name: self._checked(name, given.get(name)) for name in self.about["arguments"]}
        x = np.concatenate([self._encoded(part, given) for part in self.about["inputs"]])
        layers = {"dense": self._dense, "gru": self._gru, "mingru": self._mingru, "dueling": self._dueling}
        for layer in self.about["layers"]:
            x = layers[layer["kind"]](x, layer)
        allowed = self._allowed(**given)
        if self.about["when"] != "every_step" and not allowed.any():
            raise ValueError("no macro-action is available")
        self.outputs, values = x, np.where(allowed, x, -1e9)
        if rng is not None and self.about["output"] == "logits":
            values = values + rng.gumbel(size=values.shape)
        choice = [int(part) for part in np.unravel_index(np.argmax(values), self.about["num_actions"])]
        return choice if self.about["team"] else choice[0]

    def _checked(self, name, value):
        wanted = self.about["arguments"][name]
        if value is None and name == "available":
            return np.ones(wanted["shape"], bool)
        if value is None or list(np.shape(value)) != wanted["shape"]:
            found = "is missing" if value is None else f"has shape {list(np.shape(value))}"
            raise ValueError(f"{name} {found}: this policy needs {wanted['dtype']} of shape {wanted['shape']}")
        value = np.asarray(value, wanted["dtype"])
        if not np.isfinite(value).all():
            raise ValueError(f"{name} is not finite: {value.tolist()}")
        return value

    def _encoded(self, part, given):
        if part["encoding"] == "constant":
            return np.array(part["value"], np.float32)
        value, size = given[part["argument"]], part["size"]
        if part["encoding"] == "one_hot":
            return (value == np.arange(size)).astype(np.float32)
        if part["encoding"] == "sinusoid":
            angle = value * np.float32(10000.0) ** (-np.arange(0, size, 2, dtype=np.float32) / np.float32(size))
            return np.stack([np.sin(angle), np.cos(angle)], axis=-1).ravel()
        return value

    def _affine(self, x, name):
        return x @ self.weights[name + ".kernel"] + self.weights[name + ".bias"]

    def _dense(self, x, layer):
        x = self._affine(x, layer["name"])
        if layer.get("norm") == "layer_norm":
            x = (x - x.mean()) / np.sqrt(x.var() + np.float32(layer["norm_epsilon"]))
            x = x * self.weights[layer["name"] + "_norm.scale"] + self.weights[layer["name"] + "_norm.bias"]
        return np.where(x > 0, x, np.float32(layer["negative_slope"]) * x)

    def _dueling(self, x, layer):
        advantage = self._affine(x, layer["name"])
        return advantage - layer["centred"] * advantage.mean() + self._affine(x, layer["value"])

    def _gru(self, x, layer):
        w = {
            name: self.weights[f"{layer['name']}.{name}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        reset_i, update_i, new_i = np.split(x @ w["weight_ih"] + w["bias_ih"], 3)
        reset_h, update_h, new_h = np.split(self.hidden @ w["weight_hh"] + w["bias_hh"], 3)
        reset, update = (0.5 + 0.5 * np.tanh(0.5 * z) for z in (reset_i + reset_h, update_i + update_h))
        self.hidden = (1 - update) * np.tanh(new_i + reset * new_h) + update * self.hidden
        return self.hidden

    def _mingru(self, x, layer):
        update, new = np.split(
            x @ self.weights[layer["name"] + ".weight"] + self.weights[layer["name"] + ".bias"], 2
        )
        share = 0.5 + 0.5 * np.tanh(0.5 * update)
        self.hidden = (1 - share) * self.hidden + share * np.tanh(new)
        return self.hidden

    def _allowed(self, available, must_choose=None, last_macro_action=None, **_):
        counts, allowed = self.about["num_actions"], np.ones(1, bool)
        for agent, free in enumerate(available.reshape(len(counts), -1)):
            if must_choose is not None and not must_choose[agent]:
                free = np.arange(len(free)) == last_macro_action[agent]
            allowed = (allowed[:, None] & free[: counts[agent]]).ravel()
        return allowed
