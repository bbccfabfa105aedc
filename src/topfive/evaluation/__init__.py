"""From scores to the Challenge's figures."""

from topfive.evaluation.report import Report, evaluate, judge
from topfive.evaluation.scores import Scores, load_scores, score

__all__ = ["Report", "Scores", "evaluate", "judge", "load_scores", "score"]
