"""Evaluation of models: all of them predict the same held-out labels, from the same known ones."""

from predictor.evaluation.families import join_family_answers, join_family_sets
from predictor.evaluation.nested import Choice, select_nested
from predictor.evaluation.plots import can_plot, draw_plots
from predictor.evaluation.protocol import (
    DEFAULT_SPLITS,
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
    "DEFAULT_SPLITS",
    "SPLITS",
    "Answer",
    "Choice",
    "Question",
    "QuestionBatch",
    "Split",
    "answer_batch",
    "batch_questions",
    "can_plot",
    "draw_plots",
    "join_family_answers",
    "join_family_sets",
    "make_questions",
    "select_nested",
    "summarise",
    "to_markdown",
]
