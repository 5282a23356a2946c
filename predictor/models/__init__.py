"""Models that predict labels, by name. Import order is the order in reports."""

from predictor.models import baselines  # isort: skip
from predictor.models import rgpe, wl  # isort: skip
from predictor.models import aiop, transfer  # isort: skip
from predictor.models.base import Model, ModelError, NothingKnownError, Prediction, get_model, model_names

__all__ = [
    "Model",
    "ModelError",
    "NothingKnownError",
    "Prediction",
    "aiop",
    "baselines",
    "get_model",
    "model_names",
    "rgpe",
    "transfer",
    "wl",
]
