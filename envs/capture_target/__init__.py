"""Capture Target: agents on a torus must stand on a moving target at the same time."""

from jaxmac.envs.capture_target.environment import CaptureTarget, PrimitiveCaptureTarget

__all__ = ["CaptureTarget", "PrimitiveCaptureTarget"]
