"""Numbers and pictures of what was learned: statistics, final returns, learning curves, animations.

Everything here works on arrays and environments; reading runs is for `jaxmac.runs`.
"""

from jaxmac.analysis.animation import Animation, animate
from jaxmac.analysis.curves import Panel, learning_curve, learning_curves, profile_figure
from jaxmac.analysis.returns import final_returns, interval, smooth, solved_at, summary_table

__all__ = [
    "Animation",
    "Panel",
    "animate",
    "final_returns",
    "interval",
    "learning_curve",
    "learning_curves",
    "profile_figure",
    "smooth",
    "solved_at",
    "summary_table",
]
