"""What random play earns: the level from which a learning curve begins."""

from __future__ import annotations

from jaxmac import envs
from jaxmac.envs.environment import Environment

# Mean undiscounted return of 2,048 episodes in which every agent draws from its available macro-actions, with the
# default options of the environment. Written by `python -m experiments.random_play`.
RETURNS: dict[str, float] = {
    "BoxPushing-4": -7.302,
    "BoxPushing-4-primitive": -73.58,
    "BoxPushing-6": -7.593,
    "BoxPushing-6-primitive": -116.6,
    "BoxPushing-8": -6.704,
    "BoxPushing-8-primitive": -124.8,
    "BoxPushing-10": -6.955,
    "BoxPushing-10-primitive": -109.8,
    "BoxPushing-12": -7.962,
    "BoxPushing-12-primitive": -102.1,
    "BoxPushing-14": -8.325,
    "BoxPushing-14-primitive": -98.59,
    "BoxPushing-20": -10.08,
    "BoxPushing-20-primitive": -95.23,
    "BoxPushing-30": -10.11,
    "BoxPushing-30-primitive": -94.74,
    "CaptureTarget-2": 0.9731,
    "CaptureTarget-2-primitive": 0.01123,
    "CaptureTarget-3": 0.8169,
    "CaptureTarget-3-primitive": 0.0004883,
    "CaptureTarget-5": 0.4204,
    "CaptureTarget-5-primitive": 0.0,
    "CaptureTarget-10": 0.07422,
    "CaptureTarget-10-primitive": 0.0,
    "Overcooked-A": -48.75,
    "Overcooked-A-primitive": -20.2,
    "Overcooked-B": -22.1,
    "Overcooked-B-primitive": -19.75,
    "Overcooked-C": -37.73,
    "Overcooked-C-primitive": -20.05,
    "Warehouse-S": -33.56,
    "Warehouse-S-primitive": -151.9,
    "Warehouse-D": -110.0,
    "Warehouse-D-primitive": -151.9,
    "Warehouse-D1": -109.4,
    "Warehouse-D1-primitive": -151.9,
    "Warehouse-T": -161.6,
    "Warehouse-T-primitive": -151.9,
    "Warehouse-T1": -150.5,
    "Warehouse-T1-primitive": -151.6,
    "Warehouse-Q": -161.8,
    "Warehouse-Q-primitive": -151.6,
}


def random_return(env: Environment) -> float | None:
    """Mean undiscounted return of random play; None unless `env` is a listed one with its default options."""
    if env.name not in RETURNS:
        return None
    listed = envs.make(env.name)
    return RETURNS[env.name] if type(env) is type(listed) and env.options == listed.options else None
