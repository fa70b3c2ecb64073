"""How much memory a run will take, before anything compiles."""

from __future__ import annotations

from typing import Any

import jax
import psutil

from jaxmac.processes.joining import processes_on_host

SLACK = 1.25  # allocator overhead and what the estimate cannot see


def tree_bytes(tree: Any) -> int:
    """Bytes of the arrays (or shapes) of a pytree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "size"))


def working_bytes(env: Any, config: Any, episode_bytes: int, joint_outputs: int = 0) -> int:
    """Upper estimate of one member's transient memory: fresh episodes twice, a batch, and its activations."""
    windows = getattr(config, "trajectory_unit", "episode") != "episode" and not config.unroll_episode
    rows = config.max_rows or (config.trajectory if windows else env.horizon)
    widths = config.hidden_size * (10 + 2 * config.hidden_layers) + 4 * env.num_agents * env.state_size
    widths += 6 * joint_outputs  # of a centralised net, forward and backward
    activations = 4 * config.batch_size * (rows + 1) * env.num_agents * widths
    episodes = 2 * max(config.num_envs, config.eval_episodes) + config.batch_size
    return episodes * episode_bytes + activations


def available_bytes() -> int:
    """Memory that this process may take: its share of the host's that is free, or all of its accelerators'."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return sum(d.memory_stats()["bytes_limit"] for d in jax.local_devices())
    return psutil.virtual_memory().available // processes_on_host()


def refuse_if_too_large(needed: int, members: int, config: Any, stored: int) -> None:
    """Raise MemoryError with advice when `needed` bytes are not there.

    Args:
        needed: estimate for all members together.
        members: members that run at the same time.
        config: their config, for the advice.
        stored: bytes of one member's replay.
    """
    available = available_bytes()
    if needed <= available:
        return
    per_member = needed / members
    fit = int(available / per_member)
    without_replay = needed - members * stored * SLACK
    replay = int(config.replay_episodes * (available - without_replay) / (members * stored * SLACK))
    advice = []
    if fit >= 1:
        advice.append(f"at most {fit} members at once")
    if replay >= config.batch_size and hasattr(config, "replay_tournament"):
        advice.append(f"replay_episodes={replay}")
    hint = " or ".join(advice) or "a smaller batch_size, num_envs or hidden_size"
    raise MemoryError(
        f"this run needs about {needed / 1e9:.2f} GB and {available / 1e9:.2f} GB are free; what would fit: {hint}"
    )
