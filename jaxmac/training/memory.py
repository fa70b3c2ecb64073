"""The memory that a run needs: an estimate before compiling, and XLA's own figure afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import psutil

from jaxmac.config import settings_of
from jaxmac.errors import bytes_in_words
from jaxmac.processes.joining import processes_on_host
from jaxmac.training.limits import control_group_bytes, process_bytes

SLACK = 1.25  # factor for allocator overhead and what the estimate leaves out


def tree_bytes(tree: Any) -> int:
    """Total bytes of the arrays (or shapes with dtypes) of a pytree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "size"))


class CompiledBytes(NamedTuple):
    """Bytes that compiled functions need on each of their devices, as XLA reports them."""

    total: int  # arguments, results and scratch memory
    scratch: int  # results and scratch memory, without the arguments


def compiled_bytes(*functions: Any) -> CompiledBytes:
    """The largest figures among some compiled functions; 0 if the backend reports none."""
    found = [analysis for function in functions if (analysis := function.memory_analysis()) is not None]
    scratch = [a.temp_size_in_bytes + a.output_size_in_bytes - a.alias_size_in_bytes for a in found]
    totals = [beside + a.argument_size_in_bytes for a, beside in zip(found, scratch, strict=True)]
    return CompiledBytes(max(totals, default=0), max(scratch, default=0))


def working_bytes(env: Any, config: Any, episode_bytes: int, joint_outputs: int = 0) -> int:
    """Upper estimate of one member's transient memory: fresh episodes twice, a batch, and its activations."""
    windows = getattr(config, "trajectory_unit", "episode") != "episode" and not config.unroll_episode
    batch_size = getattr(config, "batch_size", config.num_envs)  # a config from outside may have none
    rows = getattr(config, "max_rows", 0) or (config.trajectory if windows else env.horizon)
    hidden = _widest(config, "") + _widest(config, "critic_")
    if hasattr(config, "centralised_hidden_size"):  # a second network; its other layers are as wide as the first's
        hidden += max(config.centralised_hidden_size, _widest(config, ""))
    widths = hidden * (10 + 2 * config.hidden_layers) + 4 * env.num_agents * env.state_size
    widths += 6 * joint_outputs  # of a centralised network, forward and backward
    mixer = ("attention_width", "mixing_embed", "hypernet_embed", "advantage_embed", "critic_embed")
    widths += 8 * sum(getattr(config, name, 0) for name in mixer)  # online and target, forward and backward
    activations = 4 * batch_size * (rows + 1) * env.num_agents * widths
    fresh = config.num_envs * getattr(config, "episodes_per_env", 1)
    episodes = 2 * max(fresh, config.eval_episodes) + batch_size
    return episodes * episode_bytes + activations


def _widest(config: Any, network: str) -> int:
    """The width of the widest layer of a network whose settings have this prefix; 0 without such a network."""
    return max(getattr(config, f"{network}{layer}_size", 0) for layer in ("hidden", "layer", "decode"))


def available_bytes(root: Path = Path("/")) -> int:
    """Bytes that this process may use: its share of the host's free memory, or all memory of its accelerators.

    The host's free memory is no more than the limits of a container, a cluster's job or a shell leave (control
    groups and resource limits). `root` is the root of the file system that shows the control groups.
    """
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return sum(d.memory_stats()["bytes_limit"] for d in jax.local_devices())
    shared = min([psutil.virtual_memory().available, *control_group_bytes(root)])
    return min([shared // processes_on_host(), *process_bytes()])


def refuse_if_too_large(needed: int, members: float, config: Any, stored: int) -> None:
    """Raise MemoryError, with settings that would fit, if `needed` bytes are not available.

    Args:
        needed: estimated bytes of all members together.
        members: number of members that run at the same time.
        config: config of the members, for the advice.
        stored: bytes of one member's replay.
    """
    available = available_bytes()
    if needed <= available:
        return
    fit = int(available / (needed / members))
    advice = [f"at most {fit} members at once"] if fit >= 1 else []
    if "replay_episodes" in settings_of(type(config)):
        without_replay = needed - members * stored * SLACK
        replay = int(config.replay_episodes * (available - without_replay) / (members * stored * SLACK))
        if replay >= getattr(config, "batch_size", 1):
            advice.append(f"replay_episodes={replay}")
    hint = " or ".join(advice) or f"a smaller {_sizes_of(config)}"
    sizes = f"{bytes_in_words(needed)} and {bytes_in_words(available)} are free"
    raise MemoryError(f"this run needs about {sizes}; what would fit: {hint}")


def _sizes_of(config: Any) -> str:
    """The settings of a config that memory grows with, for advice."""
    *names, last = (n for n in ("batch_size", "num_envs", "hidden_size") if n in settings_of(type(config)))
    return f"{', '.join(names)} or {last}" if names else last


def refuse_if_scratch_is_too_large(scratch: int, members: int, config: Any) -> None:
    """Raise MemoryError if the scratch memory that XLA needs for `members` is not available."""
    available = available_bytes()
    if scratch > available:
        raise MemoryError(
            f"the compiled program of {members} members needs {bytes_in_words(scratch)} beside its data and "
            f"{bytes_in_words(available)} are free; try fewer members at once or a smaller {_sizes_of(config)}"
        )
