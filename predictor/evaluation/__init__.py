"""Predictors and baselines on the same questions."""

from predictor.evaluation.protocol import SPLITS, Answer, Question, Round, Split, answers, questions, rounds
from predictor.evaluation.report import markdown, summarise

__all__ = [
    "SPLITS",
    "Answer",
    "Question",
    "Round",
    "Split",
    "answers",
    "markdown",
    "questions",
    "rounds",
    "summarise",
]
