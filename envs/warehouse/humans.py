"""The humans: how their work goes on, and which tool they need.

Source: docs/specifications/warehouse.md, section 5, numbers 5 and 6, and section 8.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxmac.envs.warehouse.layout import Layout
from jaxmac.envs.warehouse.state import Humans


def wanted_tools(layout: Layout, humans: Humans) -> Bool[Array, "humans tools"]:
    """The tool that each human needs for its next phase; all False in the last phase."""
    needs = np.full((layout.num_humans, layout.num_phases), -1, np.int32)
    needs[:, :-1] = layout.needs
    tool = jnp.full(layout.num_humans, -1, jnp.int32)
    for phase in range(layout.num_phases - 1):
        tool = jnp.where(humans.phase == phase, needs[:, phase], tool)
    return jax.nn.one_hot(tool, layout.num_tools, dtype=bool)


def work_on(phase_times: Int[np.ndarray, "humans phases"], humans: Humans) -> Humans:
    """One step of work; `phase_times` in primitive steps."""
    last = phase_times.shape[1] - 1
    served = humans.served | (humans.phase == last - 1) & humans.got
    left = humans.left - ~humans.finished
    ready = (left <= 0) & humans.got & ~humans.finished
    goes_on = ready & (humans.phase < last)
    phase = humans.phase + goes_on
    return Humans(
        phase=phase,
        left=jnp.where(goes_on, phase_time(phase_times, phase), left),
        got=humans.got & ~(goes_on & (phase < last)),
        finished=humans.finished | ready & (humans.phase == last),
        served=served,
    )


def phase_time(phase_times: Int[np.ndarray, "humans phases"], phase: Int[Array, "humans"]) -> Int[Array, "humans"]:
    """Length of the phase that each human is in, in primitive steps."""
    steps = jnp.array(phase_times[:, 0])
    for p in range(1, phase_times.shape[1]):
        steps = jnp.where(phase == p, phase_times[:, p], steps)
    return steps
