"""Robust statistics over seeds and tasks; a short name for `jaxmac.analysis.statistics`."""

from jaxmac.analysis.statistics import *  # noqa: F403
