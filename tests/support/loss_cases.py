"""Which algorithms, networks and options the losses are compared under."""

import random
from itertools import count
from typing import Any, NamedTuple

from support.pairwise import covering

COMMON = {"hidden_size": 3, "layer_size": 4, "decode_size": 2, "gamma": 0.9, "reward_scale": 0.5}
COMMON |= {"hysteresis": 0.2, "hysteresis_end": 0.6, "learning_starts": 50, "hysteresis_episodes": 400.0}
NETWORKS = {  # options that shape programs, and their values
    "hidden_layers": (1, 2),
    "share_parameters": (False, True),
    "double_q": (True, False),
    "dueling": ("auto", "none", "centred", "raw"),
    "layer_norm": (False, True),
    "normalise_state": (False, True),
    "memory": ("gru", "mingru"),
}
MIXERS = {
    "vdn": {},
    "qmix": {
        "mixing_embed": (3,),
        "hypernet_layers": (2, 1),
        "hypernet_embed": (2,),
        "b1_abs": (False, True),
        "weight_floor": (0.0, 0.4),
    },
    "qplex": {
        "kernels": (2, 1),
        "hypernet_embed": (3,),
        "advantage_layers": (2, 1, 3),
        "advantage_embed": (2,),
        "v_over_feasible": (True, False),
        "weight_floor": (0.0, 0.4),
    },
    "qtran": {"critic_embed": (3,), "critic_layers": (3, 2), "opt_weight": (0.7,), "nopt_weight": (0.4,)},
}
TOMACVF = {
    "ablation": ("none",),
    "micro_weight": (0.8,),
    "macro_weight": (0.6,),
    "attention_width": (4,),
    "attention_heads": (2, 1),
    "attention_threshold": (0.3, 0.0),
    "attention_renormalise": (False, True),
    "attention_residual": (False, True),
    "encoding_size": (4, 2),
}
ENDS = {"close_on_terminal": (True, False), "timeout_is_terminal": (False, True)}
STEPS = {"n_step": (3, 1), "td_lambda": (0.7, 0.0), **ENDS}
ROWS = {
    "macro_state": ("joint", "real", "terminated", "start"),
    "reward_scheme": ("joint", "own", "max", "min", "mean"),
    "trajectory_unit": ("steps", "rows", "episode"),
    "unroll_episode": (False, True),
    "max_rows": (0, 3),
    "trajectory": (4,),
    "td_lambda": (0.7, 0.0, 1.0),
    **ENDS,
}


class Network(NamedTuple):
    """An algorithm and the options that its program depends on."""

    algorithm_id: str
    options: dict[str, Any]


class Case(NamedTuple):
    """A network and the options that shape the rows it learns from."""

    network: Network
    rows: dict[str, Any]

    @property
    def algorithm_id(self):
        return self.network.algorithm_id

    @property
    def options(self):
        """All of them."""
        return self.network.options | self.rows

    @property
    def label(self):
        ablation = self.network.options.get("ablation")
        return "-".join(filter(None, [self.algorithm_id, ablation, *map(str, self.rows.values())]))


def network(algorithm_id, **changes):
    """The first value of each option, and changes; a network with a `macro_state` learns from joint rows."""
    tables = NETWORKS | MIXERS[algorithm_id.partition("-")[2]]
    if algorithm_id.startswith("tomacvf"):
        tables = tables | TOMACVF
    if "macro_state" in changes:
        tables = tables | {"obs_last_action": (False,)}
    return Network(algorithm_id, COMMON | {name: values[0] for name, values in tables.items()} | changes)


# All that a program knows of its rows is whether the macro-state holds a state for every agent, or a single one.
ON_ROWS = (
    network(
        "avf-vdn",
        macro_state="joint",
        hidden_layers=2,
        share_parameters=True,
        double_q=False,
        obs_last_action=True,
    ),
    network("avf-qmix", macro_state="joint", dueling="centred", layer_norm=True, normalise_state=True),
    network("avf-qplex", macro_state="real", share_parameters=True, obs_last_action=True),
    network(
        "avf-qplex",
        macro_state="real",
        dueling="none",
        memory="mingru",
        v_over_feasible=False,
        advantage_layers=1,
        double_q=False,
    ),
    network(
        "avf-qtran",
        macro_state="real",
        share_parameters=True,
        double_q=False,
        critic_layers=2,
        normalise_state=True,
    ),
    network(
        "tomacvf-qmix",
        macro_state="real",
        ablation="mac-sjert",
        b1_abs=True,
        attention_residual=True,
        obs_last_action=True,
    ),
    network("tomacvf-qplex", macro_state="real", ablation="both", dueling="raw"),
)
ON_STEPS = (
    network(
        "tomacvf-qmix",
        b1_abs=True,
        share_parameters=True,
        memory="mingru",
        layer_norm=True,
        normalise_state=True,
    ),
    network("tomacvf-qtran", double_q=False, attention_heads=1, attention_renormalise=True),
    network("tomacvf-qplex", ablation="atpg", hidden_layers=2),
)


def rows_cases():
    """All pairs of options that shape rows, dealt out among the networks."""
    dealt = {has_joint_state: count() for has_joint_state in (True, False)}
    for rows in map(_allowed, covering(ROWS)):
        has_joint_state = rows["macro_state"] == "joint"
        fitting = [n for n in ON_ROWS if (n.options["macro_state"] == "joint") == has_joint_state]
        yield Case(fitting[next(dealt[has_joint_state]) % len(fitting)], rows)


def _allowed(options):
    """Lambda-returns are refused where the rewards of neighbouring rows overlap."""
    overlap = options.get("reward_scheme", "joint") != "joint"
    return options | {"td_lambda": 0.0} if overlap else options


def steps_cases():
    """Two combinations of options for each network that learns from all steps."""
    combinations = covering(STEPS)
    for index, each in enumerate(ON_STEPS):
        for rows in (combinations[index % len(combinations)], combinations[(index + 2) % len(combinations)]):
            yield Case(each, rows)


def random_case(seed):
    """Any algorithm and a value of every one of its options."""
    rng = random.Random(seed)
    algorithm_id = rng.choice([*(f"avf-{m}" for m in MIXERS), *(f"tomacvf-{m}" for m in MIXERS if m != "vdn")])
    tables = NETWORKS | MIXERS[algorithm_id.partition("-")[2]]
    if algorithm_id.startswith("tomacvf"):
        ablation = rng.choice(("none", "none", "atpg", "mac-sjert", "both"))
        tables = tables | TOMACVF | {"ablation": (ablation,)}
    rows = STEPS if tables.get("ablation") in (("none",), ("atpg",)) else ROWS | {"obs_last_action": (False, True)}
    options = COMMON | {name: rng.choice(values) for name, values in (tables | rows).items()}
    return Case(Network(algorithm_id, _allowed(options)), {})
