"""The flags of MacroMARL's two programs with their defaults, read as those programs read them.

Which flags there are is a fact of https://github.com/yuchen-x/MacroMARL, commit f5899cd. A flag whose default is a
bool is a switch, one whose default is a list takes several values.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxmac.errors import nearest

VALUE_BASED, POLICY_GRADIENT = "value_based_main.py", "pg_based_main.py"
# MacroMARL's algorithm -> its program, ours, and settings that are part of its name.
ALGORITHMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MacDecQ": (VALUE_BASED, "mac-dec-q", {}),
    "MacCenQ": (VALUE_BASED, "mac-cen-q", {}),
    "MacDecDDRQN": (VALUE_BASED, "mac-dec-ddrqn", {}),
    "ParallelMacDecDDRQN": (VALUE_BASED, "parallel-mac-dec-ddrqn", {}),
    "MacIAC": (POLICY_GRADIENT, "mac-iac", {"critic": "history"}),
    "MacCAC": (POLICY_GRADIENT, "mac-cac", {"critic": "history"}),
    "NaiveMacIACC": (POLICY_GRADIENT, "mac-niacc", {"critic": "history"}),
    "NaiveMacIASC": (POLICY_GRADIENT, "mac-niacc", {"critic": "state"}),
    "MacIAICC": (POLICY_GRADIENT, "mac-iaicc", {"critic": "history"}),
    "MacIAISC": (POLICY_GRADIENT, "mac-iaicc", {"critic": "state"}),
}

_SHARED: dict[str, Any] = {
    **{"alg": "MacDecQ", "env_id": "OSD-S-v4", "env_terminate_step": 150, "n_env": 1, "n_agent": 2, "l_mode": 0},
    **{"total_epi": 40_000, "run_id": "0", "resume": False, "device": "cpu"},
    **{"sample_epi": False, "trace_len": 10, "eps_end": 0.1, "eval_freq": 100, "train_freq": 30},
    **{"grid_dim": [6, 6], "big_box_reward": 300.0, "small_box_reward": 20.0, "penalty": -10.0},
    **{f"h{human}_speed_ps": [18, 18, 18, 18] for human in range(4)},
    **{"tb_m_speed": 0.6, "tb_m_noisy": 0.0, "tb_m_cost": 0.0, "f_p_obj_tc": 4, "f_l_obj_tc": 6},
    **{"f_m_noisy": 0.0, "f_drop_obj_pen": -10.0, "d_pen": 0.0, "obs_h_wait": False},
    **{"task": 0, "map_type": "A", "step_penalty": -0.1},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    VALUE_BASED: {
        **_SHARED,
        **{"seed": None, "save_dir": None, "save_ckpt": False, "cen_mode": 0},
        **{"obs_one_hot": False, "target_flick_prob": 0.3, "agent_trans_noise": 0.1, "target_rand_move": False},
        **{"replay_buffer_size": 1000, "batch_size": 16, "start_train": 2, "target_update_freq": 5000},
        **{"sub_trace_len": 1, "sort_traj": False},
        **{"dynamic_h": False, "init_h": 0.2, "end_h": 0.4, "h_stable_at": 4000, "db_step": False},
        **{"eps_l_d": False, "eps_l_d_steps": 4000, "eps_e_d": False, "softmax_explore": False},
        **{"h_explore": False, "cen_explore": False, "cen_explore_end": 1_000_000, "explore_switch": False},
        **{"optim": "Adam", "l_rate": 6e-4, "discount": 0.95, "huber_l": False},
        **{"g_clip": False, "g_clip_v": 0.0, "g_clip_norm": False, "g_clip_max_norm": 0.0},
        **{"mlp_layer_size": [32, 32], "dec_mlp_layer_size": [32, 32], "cen_mlp_layer_size": [32, 32]},
        **{"rnn_layer_num": 1, "rnn_h_size": 32, "dec_rnn_h_size": 32, "cen_rnn_h_size": 64, "lstm": False},
    },
    POLICY_GRADIENT: {
        **_SHARED,
        **{"seed": 0, "save_dir": "test", "train_freq": 2, "eval_policy": False, "eval_num_epi": 10},
        **{"gamma": 0.95, "a_lr": 1e-4, "c_lr": 1e-3, "c_train_iteration": 1},
        **{"eps_start": 1.0, "eps_end": 0.01, "eps_stable_at": 4000},
        **{"critic_hys": False, "c_hys_start": 1.0, "c_hys_end": 1.0, "hys_stable_at": 4000},
        **{"adv_hys": False, "adv_hys_start": 1.0, "adv_hys_end": 1.0},
        **{"etrpy_w_start": 0.0, "etrpy_w_end": 0.0, "etrpy_w_stable_at": 4000},
        **{"c_target_update_freq": 16, "c_target_soft_update": False, "tau": 0.01},
        **{"n_step_TD": 0, "TD_lambda": 0.0, "grad_clip_value": 0.0, "grad_clip_norm": 0.0},
        **{"a_mlp_layer_size": [32, 32], "a_rnn_layer_size": 32, "obs_last_action": False},
        **{"c_mlp_layer_size": [32, 32], "c_mid_layer_size": 32, "c_rnn_layer_size": 32},
    },
}


class Flags:
    """What a command line of MacroMARL says, with MacroMARL's defaults for the rest; remembers what was read."""

    def __init__(self, program: str, words: Sequence[str]):
        """Raises ValueError, in one line, for an unknown flag or a value that cannot be read."""
        self.defaults = DEFAULTS[program]
        known, unknown = _parser(self.defaults).parse_known_args(list(words))
        if unknown:
            raise ValueError(self._unknown(program, unknown[0]))
        self.given: dict[str, Any] = vars(known)
        self._read: set[str] = set()
        for name, value in self.given.items():
            if isinstance(value, str) and "--" in value:
                start, _, rest = value.partition("--")
                raise ValueError(f"--{name} is {value!r}: put a space between {start!r} and --{rest}")

    def _unknown(self, program: str, word: str) -> str:
        """The message about a word that the program does not read."""
        if not word.startswith("--"):
            return f"{program}: {word!r} belongs to no flag; flags begin with --, and their values come next"
        near = nearest(word.partition("=")[0], ["--" + name for name in self.defaults])
        return f"{program} has no {word}; {near}"

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self.given.get(name, self.defaults[name])

    def unread(self) -> list[str]:
        """The flags that were given with another value than the default and that nobody asked for."""
        return [
            name for name, value in self.given.items() if name not in self._read and value != self.defaults[name]
        ]

    def spelled(self, name: str) -> str:
        """A flag as it is typed: `--lstm`, `--optim=RMSprop`."""
        value = self.given.get(name, self.defaults[name])
        shown = " ".join(map(str, value)) if isinstance(value, list) else value
        return f"--{name}" if isinstance(value, bool) else f"--{name}={shown}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message.removeprefix("argument "))


def _parser(defaults: dict[str, Any]) -> _Parser:
    """A parser of these flags that returns only those that are given; like MacroMARL's it takes abbreviations."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for name, value in defaults.items():
        if isinstance(value, bool):
            parser.add_argument(f"--{name}", action="store_true")
        elif isinstance(value, list):
            count = len(value) if name == "grid_dim" else "+"
            parser.add_argument(f"--{name}", type=type(value[0]), nargs=count)
        else:
            kind = int if name == "seed" else str if value is None else type(value)
            parser.add_argument(f"--{name}", type=kind)
    return parser


def program_and_words(words: Sequence[str]) -> tuple[str, list[str]]:
    """Which of the two programs a command line calls, and its flags.

    The program may be left out; then the algorithm tells. Raises ValueError, in one line, for another program, an
    unknown algorithm, or one of the other program.
    """
    names = [word.rpartition("/")[2] in DEFAULTS for word in words]  # `python -u scripts/pg_based_main.py`
    options = [word.startswith("-") for word in words]
    first = names.index(True) + 1 if any(names) else [*options, True].index(True)
    head, flags = words[:first], list(words[first:])
    named = head[-1].rpartition("/")[2] if head else None
    if named not in (*DEFAULTS, None):
        raise ValueError(f"{head[-1]!r} is not a program of MacroMARL; {nearest(named, DEFAULTS)}")
    algorithm = Flags(named, flags)["alg"] if named else _algorithm(flags)
    if algorithm not in ALGORITHMS:
        raise ValueError(f"--alg={algorithm}: MacroMARL has no such algorithm; {nearest(algorithm, ALGORITHMS)}")
    program = ALGORITHMS[algorithm][0]
    if named and named != program:
        its = [name for name, row in ALGORITHMS.items() if row[0] == named]
        raise ValueError(f"--alg={algorithm} belongs to {program}; {named} has {', '.join(its)}")
    return program, flags


def _algorithm(flags: Sequence[str]) -> str:
    """The value of --alg, before it is known which program's flags the others are."""
    known, _ = _parser({"alg": _SHARED["alg"]}).parse_known_args(list(flags))
    return getattr(known, "alg", _SHARED["alg"])
