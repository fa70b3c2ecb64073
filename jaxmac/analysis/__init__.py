"""Statistics, learning curves and animations, from arrays of returns and from environments.

Nothing here reads run directories: `jaxmac.runs` does, and `jaxmac.evaluation` compares runs.
"""

from jaxmac.analysis.animation import Animation, animate
from jaxmac.analysis.curves import Panel, learning_curve, learning_curves
from jaxmac.analysis.intervals import interval_figure
from jaxmac.analysis.profiles import profile_figure
from jaxmac.analysis.random_play import random_return
from jaxmac.analysis.returns import Curve, final_returns, interval, smooth, solved_at, summary_table
from jaxmac.analysis.timelines import timeline

__all__ = [
    "Animation",
    "Curve",
    "Panel",
    "animate",
    "final_returns",
    "interval",
    "interval_figure",
    "learning_curve",
    "learning_curves",
    "profile_figure",
    "random_return",
    "smooth",
    "solved_at",
    "summary_table",
    "timeline",
]
