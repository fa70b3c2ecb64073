"""The raw record of episodes and its three cuts into training rows.

Policies act, rollouts record whole episodes, replays store and sample them, and the cuts (Mac-CERT, Mac-JERT,
Mac-SJERT) turn them into rows.
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
