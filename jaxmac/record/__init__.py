"""What happened, and its cuts.

Policies act, rollouts write down whole episodes, replays store and sample them, and the cuts turn them into rows.
"""

from jaxmac.record.episode import Episode
from jaxmac.record.policy import Policy, random_policy, scripted_policy
from jaxmac.record.replay import SAMPLERS, Replay, Sample, register_sampler
from jaxmac.record.samplers import Tournament, Uniform, Windows

__all__ = [
    "SAMPLERS",
    "Episode",
    "Policy",
    "Replay",
    "Sample",
    "Tournament",
    "Uniform",
    "Windows",
    "random_policy",
    "register_sampler",
    "scripted_policy",
]
