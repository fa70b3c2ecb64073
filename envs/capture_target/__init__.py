"""Capture Target: agents meet in the cell of a moving target that they often miss."""

from jaxmac.envs.capture_target.environment import CaptureTarget
from jaxmac.envs.capture_target.noise import Noise
from jaxmac.envs.capture_target.primitive import PrimitiveCaptureTarget

__all__ = ["CaptureTarget", "Noise", "PrimitiveCaptureTarget"]
