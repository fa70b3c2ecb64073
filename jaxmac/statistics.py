"""Robust statistics over seeds and tasks: the public name of `jaxmac.analysis.statistics`."""

from jaxmac.analysis.statistics import *  # noqa: F403
