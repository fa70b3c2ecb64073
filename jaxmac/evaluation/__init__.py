"""Evaluating what was learned, on fresh episodes (`episodes`) and by comparing runs (`comparison`).

Comparisons are written as an HTML page (`report`) or as data for the marl-eval library (`marl_eval`).
"""

from jaxmac.evaluation.comparison import compare
from jaxmac.evaluation.episodes import evaluate, evaluate_policy
from jaxmac.evaluation.marl_eval import marl_eval_data
from jaxmac.evaluation.report import html_report

__all__ = ["compare", "evaluate", "evaluate_policy", "html_report", "marl_eval_data"]
