"""Predictors and baselines on the same questions."""

from predictor.evaluation.plots import can_plot, draw_plots
from predictor.evaluation.protocol import SPLITS, Answer, Question, Round, Split, answers, questions, rounds
from predictor.evaluation.report import markdown, summarise

__all__ = [
    "SPLITS",
    "Answer",
    "Question",
    "Round",
    "Split",
    "answers",
    "can_plot",
    "draw_plots",
    "markdown",
    "questions",
    "rounds",
    "summarise",
]
