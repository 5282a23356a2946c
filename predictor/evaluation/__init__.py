"""Evaluation of models: all of them predict the same held-out labels, from the same known ones."""

from predictor.evaluation.plots import can_plot, draw_plots
from predictor.evaluation.protocol import (
    SPLITS,
    Answer,
    Question,
    QuestionBatch,
    Split,
    answer_batch,
    batch_questions,
    make_questions,
)
from predictor.evaluation.report import summarise, to_markdown

__all__ = [
    "SPLITS",
    "Answer",
    "Question",
    "QuestionBatch",
    "Split",
    "answer_batch",
    "batch_questions",
    "can_plot",
    "draw_plots",
    "make_questions",
    "summarise",
    "to_markdown",
]
