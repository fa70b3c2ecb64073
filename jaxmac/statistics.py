"""Robust statistics over seeds and tasks: the public name of `jaxmac.analysis.statistics`."""

from jaxmac.analysis.statistics import (
    Estimate,
    Tasks,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

__all__ = [
    "Estimate",
    "Tasks",
    "interquartile_mean",
    "mean",
    "median",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "stratified_bootstrap",
]
