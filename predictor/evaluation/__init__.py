"""Predictors and baselines on the same questions."""

from predictor.evaluation.protocol import SPLITS, Answer, Question, Split, answer, questions
from predictor.evaluation.report import markdown, summarise

__all__ = ["SPLITS", "Answer", "Question", "Split", "answer", "markdown", "questions", "summarise"]
