"""Judging what was learned: fresh episodes, runs side by side, and pages and files that report them."""

from jaxmac.evaluation.comparison import compare
from jaxmac.evaluation.episodes import evaluate, evaluate_policy

__all__ = ["compare", "evaluate", "evaluate_policy"]
