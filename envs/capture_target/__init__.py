"""Capture Target: agents meet on a moving target that they often miss. Ids: `CaptureTarget-n`, n agents."""

from functools import partial

from jaxmac.envs.capture_target.environment import AGENTS, CaptureTarget
from jaxmac.envs.capture_target.noise import Noise
from jaxmac.envs.capture_target.primitive import PrimitiveCaptureTarget
from jaxmac.envs.registry import describe_sizes, register_environment

__all__ = ["CaptureTarget", "Noise", "PrimitiveCaptureTarget"]

LISTED = (2, 3, 5, 10)  # the others exist, too

describe_sizes("CaptureTarget", "number of agents n must be from 2 to 10")
for num_agents in AGENTS:
    register_environment(
        f"CaptureTarget-{num_agents}", partial(CaptureTarget, num_agents), listed=num_agents in LISTED
    )
