"""One graph encoder with a linear head for every label set, trained jointly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from predictor.label_set import Floats, LabelSet
from predictor.networks.batch import GraphBatch, best_device
from predictor.networks.examples import STOP_FOLD, Examples, folds
from predictor.networks.fitting import Checkpointer, TrainingSettings, TrainingTask, mean_squared_error, train_network
from predictor.networks.graph_encoder import GraphEncoder

FIT_SETTINGS = TrainingSettings(
    epochs=30, batch_size=32, learning_rate=4e-3, cosine_decay=True, patience=8, epoch_graphs=4000
)
UPDATE_SETTINGS = TrainingSettings(
    epochs=5, batch_size=32, learning_rate=1e-3, cosine_decay=True, patience=3, epoch_graphs=600, warm_start=True
)
_BATCH_GRAPHS = 32  # of a prediction: more do not fit a core's cache, and are slower
_TIE_MARGIN = 0.1  # standard scores: two labels closer than this are not ranked
_MIN_HELD_OUT = 5  # held-out labels of a set that are needed to estimate its error
_RIDGE = 3.0  # strength of the ridge penalty of a new head, in labels


class MultiHeadPredictor(nn.Module):
    """Predicts (count, sets) standard scores of graphs. `reader` is the encoder."""

    def __init__(self, sets: int) -> None:
        super().__init__()
        self.reader = GraphEncoder()
        self.heads = nn.Linear(self.reader.width, sets)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], sets: int) -> MultiHeadPredictor:
        """Return a network with the weights in `arrays`, by their names in `state_dict`."""
        network = cls(sets)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        return network.to(best_device()).eval()

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return (count, sets)."""
        scores: Tensor = self.heads(self.reader(batch))
        return scores

    def scores(self, query: LabelSet, sets: int) -> Floats:
        """Return (n, sets) scores by the first heads. Heads that are added later do not change a bit of them."""
        vectors = self._encode(query)
        with torch.no_grad():
            heads = zip(self.heads.weight[:sets], self.heads.bias[:sets], strict=True)
            columns = [(vectors * weight).sum(1) + bias for weight, bias in heads]
        scores: Floats = torch.stack(columns, 1).cpu().numpy().astype(np.float64)
        return scores

    def with_head(self, source: LabelSet, scores: Floats) -> tuple[MultiHeadPredictor, float]:
        """Return a copy with one more head, and the variance of its held-out errors, as `fit_jointly` estimates it.

        The head is a ridge regression on the encoder's vectors; the encoder and the other heads do not change.
        scores: (n,) the labels of `source` as standard scores.
        """
        vectors = self._encode(source).cpu().numpy().astype(np.float64)
        held_out = folds(source.architectures) == STOP_FOLD
        inputs, targets = vectors[~held_out], scores[~held_out]
        centre, level = inputs.mean(0), targets.mean()
        inputs = inputs - centre
        variance = float(inputs.var(0).mean()) or 1.0
        weight = np.linalg.solve(
            inputs.T @ inputs + _RIDGE * variance * np.eye(self.reader.width), inputs.T @ (targets - level)
        )
        bias = level - weight @ centre
        extended = MultiHeadPredictor(self.heads.out_features + 1)
        state = self.state_dict()
        for name, part in {"heads.weight": weight[None], "heads.bias": np.array([bias])}.items():
            state[name] = torch.cat([state[name], torch.from_numpy(part).to(state[name])])
        extended.load_state_dict(state)
        errors = scores[held_out] - (vectors[held_out] @ weight + bias)
        error_variance = float((errors**2).mean()) if len(errors) >= _MIN_HELD_OUT else 1.0
        return extended.to(self.heads.weight.device).eval(), error_variance

    def first_heads(self, count: int) -> MultiHeadPredictor:
        """Return a copy with the first heads only."""
        state = {name: v[:count] if name.startswith("heads.") else v for name, v in self.state_dict().items()}
        kept = MultiHeadPredictor(count)
        kept.load_state_dict(state)
        return kept.to(self.heads.weight.device).eval()

    @torch.no_grad()
    def rescale_head(self, head: int, slope: float, offset: float) -> None:
        """Replace a head's scores by slope * score + offset."""
        self.heads.weight[head] *= slope
        self.heads.bias[head] = self.heads.bias[head] * slope + offset

    @torch.no_grad()
    def _encode(self, query: LabelSet) -> Tensor:
        """Return (n, width)."""
        device = next(self.parameters()).device
        starts = range(0, len(query), _BATCH_GRAPHS)
        batches = (GraphBatch.of(query.pool.nodes, query.graphs[s : s + _BATCH_GRAPHS], device) for s in starts)
        vectors = [self.reader(batch) for batch in batches]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.reader.width, device=device)


def fit_jointly(
    sets: Sequence[LabelSet],
    scores: Sequence[Floats],
    seed: int,
    checkpointer: Checkpointer,
    settings: TrainingSettings,
) -> tuple[MultiHeadPredictor, Floats]:
    """Train a network, and return it with (sets,) variances of its held-out errors, 1 where a set has too few.

    scores: for each set, (n,) its labels as standard scores.
    """
    torch.manual_seed(seed)
    network = MultiHeadPredictor(len(sets)).to(best_device())
    examples, held_out = _split(sets, scores)
    train_network(TrainingTask("joint", network, network, _loss, examples, held_out), settings, seed, checkpointer)
    return network, _held_out_variance(network, held_out)


def update_jointly(
    network: MultiHeadPredictor,
    sets: Sequence[LabelSet],
    scores: Sequence[Floats],
    fresh: Sequence[NDArray[np.bool_]],
    seed: int,
    checkpointer: Checkpointer,
    settings: TrainingSettings,
) -> Floats:
    """Continue training a network with a head for each set, and return the variances as `fit_jointly` does.

    fresh: for each set, (n,) which of its labels are new. Their graphs are in every epoch, the others are sampled.
    """
    examples, held_out = _split(sets, scores)
    new, _ = _split(sets, [mask.astype(np.float64) for mask in fresh])
    always_included = np.flatnonzero(np.nan_to_num(new.scores).any(axis=1))
    task = TrainingTask("more", network, network, _loss, examples, held_out, always_included)
    train_network(task, settings, seed, checkpointer)
    return _held_out_variance(network, held_out)


def _split(sets: Sequence[LabelSet], scores: Sequence[Floats]) -> tuple[Examples, Examples]:
    """Return the training examples and those held out for early stopping."""
    held_out = [folds(one.architectures) == STOP_FOLD for one in sets]
    training, stopping = (
        Examples.of(
            [one.take(mask) for one, mask in zip(sets, masks, strict=True)],
            [values[mask] for values, mask in zip(scores, masks, strict=True)],
        )
        for masks in ([~mask for mask in held_out], held_out)
    )
    return training, stopping


def _loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error plus a pairwise ranking loss: the negative log-likelihood of the order of two labels."""
    target_gap = targets[:, None] - targets[None]
    gap = scores[:, None] - scores[None]
    ranked = target_gap.abs() > _TIE_MARGIN  # False where a label is missing
    ranking = torch.where(ranked, nn.functional.softplus(-gap * target_gap.nan_to_num().sign()), 0.0)
    return mean_squared_error(scores, targets) + ranking.sum() / ranked.sum().clamp(min=1)


@torch.no_grad()
def _held_out_variance(network: MultiHeadPredictor, held_out: Examples) -> Floats:
    """Return (sets,) mean squared errors; 1 where a set has too few held-out labels."""
    sets = held_out.scores.shape[1]
    if not len(held_out):
        return np.ones(sets)
    device = next(network.parameters()).device
    parts = [held_out.indices[s : s + _BATCH_GRAPHS] for s in range(0, len(held_out), _BATCH_GRAPHS)]
    scores = [network(GraphBatch.of(held_out.graphs, part, device)).cpu().numpy() for part in parts]
    errors = np.concatenate(scores).astype(np.float64) - held_out.scores
    count = (~np.isnan(errors)).sum(0)
    variance: Floats = np.where(count >= _MIN_HELD_OUT, np.nansum(errors**2, 0) / np.maximum(1, count), 1.0)
    return variance
