"""A command line of MacroMARL as settings of `jaxmac train` (docs/coming_from/macromarl.md).

Every flag that is given either becomes a setting or gets a note of one line: `Flags` remembers which were read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxmac import envs
from jaxmac.algorithms.presets.mac_q import episode_replay, window_replay
from jaxmac.algorithms.registry import configure
from jaxmac.cli.macromarl_flags import ALGORITHMS, VALUE_BASED, Flags, program_and_words
from jaxmac.envs.environment import Environment
from jaxmac.envs.warehouse import LAYOUTS
from jaxmac.errors import nearest
from jaxmac.runs.members import LARGEST_SEED

# MacroMARL's environment id -> our family, and what follows the size or the map in ours.
ENVIRONMENTS = {
    "BP-MA-v0": ("BoxPushing", ""),
    "BP-v0": ("BoxPushing", "-primitive"),
    "OSD-S-v4": ("Warehouse-S", ""),
    "OSD-D-v7": ("Warehouse-D", ""),
    "OSD-T-v0": ("Warehouse-T", ""),
    "OSD-T-v1": ("Warehouse-T1", ""),
    "OSD-F-v0": ("Warehouse-Q", ""),
    "Overcooked-MA-v1": ("Overcooked", ""),
    "Overcooked-v1": ("Overcooked", "-primitive"),
}
WITHOUT_EQUIVALENT = {  # flag -> why it is left out
    "lstm": "the recurrent layer is a GRU here, or one of your own (docs/extending.md, a new memory)",
    "rnn_layer_num": "networks have one recurrent layer here",
    "optim": "the optimiser is Adam here",
    "huber_l": "the loss is the mean squared error here",
    "g_clip": "gradients are clipped by their norm only here",
    "g_clip_v": "gradients are clipped by their norm only here",
    "grad_clip_value": "gradients are clipped by their norm only here",
    "softmax_explore": "exploration is epsilon-greedy here",
    "cen_explore_end": "with centralised_exploration it lasts as long as training here",
    "sub_trace_len": "sequences with one row or more are learned from here",
    "sort_traj": "the order of sequences changes nothing",
    "critic_hys": "critics have no hysteresis here",
    "adv_hys": "advantages have no hysteresis here",
    "c_train_iteration": "critics are updated once per iteration here",
    "c_target_soft_update": "targets of critics are copied here, every target_episodes",
    "TD_lambda": "actor-critics have n_step here, no lambda",
    "etrpy_w_stable_at": "the entropy weight is constant here",
    "tb_m_noisy": "mobile robots move without noise here",
    "tb_m_cost": "driving costs the step's -1 only here",
    "f_p_obj_tc": "the manipulator passes a tool in 4 steps here",
    "f_l_obj_tc": "the manipulator finds a tool in 6 steps here",
    "f_m_noisy": "the manipulator works without noise here",
    "f_drop_obj_pen": "a failed pass costs 10 here (MacroMARL does not hand this flag on)",
    "obs_h_wait": "robots do not observe whether a human waits here",
    "step_penalty": "a step costs 0.1 here",
    "l_mode": "an algorithm learns in one way here (and there only 0 exists)",
    "cen_mode": "an algorithm learns in one way here (and there only 0 exists)",
    "resume": "`jaxmac resume RUN` continues a run",
    "save_ckpt": "checkpoints are always written here",
    "device": "JAX chooses the device; --devices and JAX_PLATFORMS change it",
}
LOWEST = {  # flag -> the lowest value that makes sense, where another setting's name would be a riddle or hide it
    **dict.fromkeys(("total_epi", "n_env", "train_freq", "eval_freq", "eval_num_epi", "batch_size"), 1),
    **dict.fromkeys(("replay_buffer_size", "trace_len", "target_update_freq", "c_target_update_freq"), 1),
    **dict.fromkeys(("seed", "n_step_TD"), 0),
}


class Converted(NamedTuple):
    """What a command line of MacroMARL becomes."""

    settings: dict[str, Any]  # as a file for `jaxmac train --config` has them
    notes: list[str]  # one line for each flag that has no equivalent or means something else here


def from_macromarl(words: Sequence[str]) -> Converted:
    """The settings of `jaxmac train` for a command line of MacroMARL, checked, above the preset `reference`.

    Args:
        words: the words of the command line, with or without the name of the program in front.

    Raises ValueError, in one line, for what MacroMARL would refuse, for an unknown environment id, with the nearest
    one, and for values that jaxmac refuses.
    """
    program, words = program_and_words(words)
    flags, notes = Flags(program, words), list[str]()
    _check_lowest(flags)
    algorithm, part_of_name = ALGORITHMS[flags["alg"]][1:]
    env_id, options = _environment(flags)
    try:
        env = envs.make(env_id, **options)
    except ValueError as error:
        raise ValueError(f"--env_id={flags['env_id']}: {error}") from None
    if "num_agents" not in options and "n_agent" in flags.given and flags["n_agent"] != env.num_agents:
        notes.append(f"{flags.spelled('n_agent')}: {env_id} has {env.num_agents} agents, as in MacroMARL")
    translate = _value_based if program == VALUE_BASED else _policy_gradient
    values = translate(flags, notes, env, algorithm) | part_of_name
    try:
        configure(algorithm, "reference", env, values)
    except ValueError as error:
        raise ValueError(f"{error} (a setting of jaxmac that these flags become)") from None
    settings = {"algorithm": algorithm, "env": env_id, "env_options": options, "preset": "reference"}
    settings |= _run(flags, notes) | values
    unread = [
        f"{flags.spelled(n)}: {WITHOUT_EQUIVALENT.get(n, 'without effect in this run')}" for n in flags.unread()
    ]
    return Converted(settings, notes + unread)


def _check_lowest(flags: Flags) -> None:
    """Raise ValueError for a number that was given and is too low; this reads no flag."""
    for name, lowest in LOWEST.items():
        if (value := flags.given.get(name)) is not None and value < lowest:
            raise ValueError(f"{flags.spelled(name)} must be >= {lowest}")


def _run(flags: Flags, notes: list[str]) -> dict[str, Any]:
    """Seeds, episodes and the run directory."""
    run_id = str(flags["run_id"])
    if not run_id.isdecimal():
        if run_id and not run_id.startswith("$"):
            raise ValueError(f"--run_id is {run_id!r}, but must be an integer of at least 0")
        notes.append(
            f"--run_id={run_id}: a loop over runs is one run with several seeds here; --seeds 20 trains 20"
        )
    seed = flags["seed"] or (int(run_id) if run_id.isdecimal() else 0)
    if seed > LARGEST_SEED:
        flag = flags.spelled("seed" if flags["seed"] else "run_id")
        raise ValueError(f"{flag} must be <= {LARGEST_SEED}")
    values = {"seeds": [seed], "episodes": flags["total_epi"]}
    return values | ({"out": f"runs/{flags['save_dir']}"} if flags.given.get("save_dir") else {})


def _environment(flags: Flags) -> tuple[str, dict[str, Any]]:
    """The environment id and its options."""
    name = flags["env_id"]
    if name not in ENVIRONMENTS:
        raise ValueError(f"--env_id={name}: jaxmac knows no such environment; {nearest(name, ENVIRONMENTS)}")
    family, suffix = ENVIRONMENTS[name]
    options = {"horizon": flags["env_terminate_step"]}
    if family.startswith("Warehouse"):
        return _warehouse(flags, family, options)
    width, height = flags["grid_dim"]
    if width != height:
        raise ValueError(f"--grid_dim is {width} {height}, but grids are square here")
    if family == "BoxPushing":
        rewards = {name: flags[name] for name in ("big_box_reward", "small_box_reward", "penalty")}
        return f"BoxPushing-{width}{suffix}", options | rewards | {"num_agents": flags["n_agent"]}
    options |= {"size": width, "task": flags["task"]}
    if "n_agent" in flags.given:  # MacroMARL does not hand it on, but its experiments are meant for three
        options["num_agents"] = flags["n_agent"]
    return f"Overcooked-{flags['map_type']}{suffix}", options


def _warehouse(flags: Flags, env_id: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A warehouse; its humans' phase times are options unless a layout of the same rooms has them."""
    humans = len(LAYOUTS[env_id.partition("-")[2]].work_areas)
    speeds = tuple(tuple(flags[f"h{human}_speed_ps"]) for human in range(humans))
    options |= {"mobile_speed": flags["tb_m_speed"], "late_penalty": flags["d_pen"]}
    options |= {"horizon_is_terminal": True} if env_id == "Warehouse-Q" else {}
    for same_rooms in (env_id, "Warehouse-D1") if env_id == "Warehouse-D" else (env_id,):
        if speeds == LAYOUTS[same_rooms.partition("-")[2]].phase_times:
            return same_rooms, options
    return env_id, options | {"human_speeds": [list(times) for times in speeds]}


def _value_based(flags: Flags, notes: list[str], env: Environment, algorithm: str) -> dict[str, Any]:
    """The settings of MacDec-Q, MacCen-Q and both DDRQNs."""
    values = {"gamma": flags["discount"], "learning_rate": flags["l_rate"], "batch_size": flags["batch_size"]}
    values |= {"learning_starts": max(flags["start_train"], 1), "train_freq": flags["train_freq"]}
    values |= {"num_envs": flags["n_env"]} if flags["n_env"] > 1 else {}
    values |= _replay(flags, notes, env, values)
    # MacroMARL counts rounds, in which each of its environments makes a step.
    values |= {"target_steps": flags["target_update_freq"] * flags["n_env"]}
    values |= _exploration(flags, notes, env) | {"recurrent_exploration": flags["h_explore"]}
    values |= {"grad_clip": flags["g_clip_max_norm"] if flags["g_clip_norm"] else 0.0}
    two_networks = "ddrqn" in algorithm
    layer, decode = _two_widths(flags, "dec_mlp_layer_size" if two_networks else "mlp_layer_size")
    values |= {"layer_size": layer, "decode_size": decode}
    values |= {"hidden_size": flags["dec_rnn_h_size" if two_networks else "rnn_h_size"]}
    if two_networks:
        values |= {"centralised_hidden_size": flags["cen_rnn_h_size"]}
        if flags["cen_mlp_layer_size"] != [layer, decode]:
            spelled = flags.spelled("cen_mlp_layer_size")
            notes.append(f"{spelled}: both networks have layers of {layer} and {decode} here")
    if algorithm == "mac-dec-ddrqn":
        values |= {"centralised_exploration": flags["cen_explore"]}
        if flags["cen_explore"]:  # without it the switch has no effect there, and is refused here
            values |= {"exploration_switch": flags["explore_switch"]}
    return values | {"eval_every": flags["eval_freq"]}


def _replay(flags: Flags, notes: list[str], env: Environment, values: dict[str, Any]) -> dict[str, Any]:
    """The replay, whose capacity is a number of episodes here; it holds at least a batch and an iteration."""
    if flags["sample_epi"]:
        replay = episode_replay(flags["replay_buffer_size"], values["learning_starts"])
    else:
        replay = window_replay(env, flags["replay_buffer_size"], flags["trace_len"])
    contains = replay["replay_episodes"]
    replay["replay_episodes"] = max(contains, flags["batch_size"], values.get("num_envs", 16))
    if replay["replay_episodes"] != contains:
        spelled, holds = flags.spelled("replay_buffer_size"), replay["replay_episodes"]
        notes.append(f"{spelled} is {contains} episodes; the replay holds {holds} here, a batch and an iteration")
    return replay


def _exploration(flags: Flags, notes: list[str], env: Environment) -> dict[str, Any]:
    """The schedules of epsilon and of hysteresis; MacroMARL's hysteresis is 1 - epsilon without --dynamic_h."""
    per_episode = env.horizon if flags["db_step"] else 1
    if flags["db_step"]:
        notes.append(f"--db_step: schedules count episodes here; {env.horizon} steps are taken for one")
    last, linear = flags["eps_end"], flags["eps_l_d"]
    # exp(-e/16000) has the same area as a line that reaches 0 after 32,000 episodes.
    decay = (flags["eps_l_d_steps"] if linear else 32_000) / per_episode
    if not linear:
        notes.append(
            f"without --eps_l_d epsilon decays exponentially there; linearly here, over {decay:g} episodes"
        )
    values = {"epsilon_start": 1.0, "epsilon_end": last, "epsilon_episodes": decay}
    first, final, over = 0.0, 1.0 - last, decay
    if flags["dynamic_h"]:
        first, final, over = flags["init_h"], flags["end_h"], flags["h_stable_at"] / per_episode
    if first > final:
        notes.append(f"{flags.spelled('init_h')} is above end_h: MacroMARL begins with end_h, as is done here")
        first = final
    return values | {"hysteresis": first, "hysteresis_end": final, "hysteresis_episodes": over}


def _policy_gradient(flags: Flags, notes: list[str], env: Environment, algorithm: str) -> dict[str, Any]:
    """The settings of the actor-critics, whose iteration is `train_freq` episodes."""
    episodes = flags["train_freq"]
    values = {"gamma": flags["gamma"], "actor_learning_rate": flags["a_lr"], "critic_learning_rate": flags["c_lr"]}
    values |= {"num_envs": episodes, "n_step": min(flags["n_step_TD"], env.horizon)}
    values |= {"target_episodes": math.lcm(flags["c_target_update_freq"], max(episodes, 1))}
    values |= {"epsilon_start": flags["eps_start"], "epsilon_end": flags["eps_end"]}
    values |= {"epsilon_episodes": float(flags["eps_stable_at"]), "entropy_weight": flags["etrpy_w_start"]}
    values |= {"grad_clip": flags["grad_clip_norm"]}
    if flags["n_env"] != episodes and "n_env" in flags.given:
        notes.append(f"{flags.spelled('n_env')}: the {episodes} episodes of an iteration are played at once here")
    if values["n_step"] != flags["n_step_TD"]:
        notes.append(f"{flags.spelled('n_step_TD')}: an episode has {env.horizon} steps, so n_step is that")
    if values["target_episodes"] != flags["c_target_update_freq"]:
        spelled, copies = flags.spelled("c_target_update_freq"), values["target_episodes"]
        notes.append(
            f"{spelled} with --train_freq={episodes}: targets are copied every {copies} episodes, there too"
        )
    if flags["etrpy_w_end"] != flags["etrpy_w_start"]:
        notes.append(f"{flags.spelled('etrpy_w_end')}: the entropy weight is constant here, at etrpy_w_start")
    if not flags["sample_epi"]:
        notes.append("without --sample_epi MacroMARL learns from windows of steps; from whole episodes here")
    return values | _actors_and_critics(flags, notes, algorithm) | _evaluation(flags, episodes)


def _actors_and_critics(flags: Flags, notes: list[str], algorithm: str) -> dict[str, Any]:
    """The widths of the networks; a state critic has a layer in place of the recurrent one."""
    layer, decode = _two_widths(flags, "a_mlp_layer_size")
    values = {"layer_size": layer, "decode_size": decode, "hidden_size": flags["a_rnn_layer_size"]}
    critic, critic_decode = _two_widths(flags, "c_mlp_layer_size")
    values |= {"critic_layer_size": critic}
    if ALGORITHMS[flags["alg"]][2]["critic"] == "history":
        values |= {"critic_decode_size": critic_decode, "critic_hidden_size": flags["c_rnn_layer_size"]}
    elif critic != critic_decode:
        raise ValueError(f"{flags.spelled('c_mlp_layer_size')}: a state critic needs twice the same width")
    else:
        values |= {"critic_hidden_size": flags["c_mid_layer_size"]}
    if algorithm != "mac-cac":
        return values | {"obs_last_action": flags["obs_last_action"]}
    if flags["obs_last_action"]:
        notes.append("--obs_last_action: the joint actor of mac-cac does not observe it here")
    return values


def _evaluation(flags: Flags, episodes: int) -> dict[str, Any]:
    """MacroMARL evaluates only with --eval_policy, and only between iterations; runs here always evaluate."""
    if not flags["eval_policy"]:
        return {}
    period = flags["eval_freq"] // episodes * episodes
    return {"eval_every": max(period, episodes), "eval_episodes": flags["eval_num_epi"]}


def _two_widths(flags: Flags, name: str) -> tuple[int, int]:
    """Widths before and after the recurrent layer; further ones are not read there, either."""
    widths = flags[name]
    if len(widths) < 2:
        raise ValueError(f"{flags.spelled(name)}: needs two numbers, before and after the recurrent layer")
    if min(widths) < 1:
        raise ValueError(f"{flags.spelled(name)} must be >= 1")
    return widths[0], widths[1]
