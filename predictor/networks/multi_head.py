"""One reader of graphs and a linear head for every known label set, learnt together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from predictor.label_set import Floats, LabelSet
from predictor.networks.batch import GraphBatch, best_device
from predictor.networks.examples import STOPPING, Examples, folds
from predictor.networks.fitting import Checkpointer, TrainingSettings, TrainingTask, mean_squared, train_network
from predictor.networks.graph_encoder import GraphEncoder

SETTINGS = TrainingSettings(epochs=30, batch=32, rate=4e-3, decays=True, patience=8, most=4000)
MORE = TrainingSettings(
    epochs=5, batch=32, rate=1e-3, decays=True, patience=3, most=600, from_known=True
)  # on top of that
_TOGETHER = 32  # graphs that are read at once: more of them do not fit a core's cache, and are slower
_CLOSE = 0.1  # standard scores: labels nearer than this are not asked to be ranked
_FEWEST = 5  # held-out labels of a set from which its error is told
_RIDGE = 3.0  # labels' worth of doubt in a head that is added to a reader which is done


class MultiHeadPredictor(nn.Module):
    """(count, sets) standard scores of graphs."""

    def __init__(self, sets: int) -> None:
        super().__init__()
        self.reader = GraphEncoder()
        self.heads = nn.Linear(self.reader.width, sets)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], sets: int) -> MultiHeadPredictor:
        """With the weights of `arrays`, by their names in `state_dict`."""
        network = cls(sets)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        return network.to(best_device()).eval()

    def forward(self, batch: GraphBatch) -> Tensor:
        """(count, sets)."""
        scores: Tensor = self.heads(self.reader(batch))
        return scores

    def scores(self, asked: LabelSet, sets: int) -> Floats:
        """(n, sets) of the networks of `asked`, by the first heads: to the last bit the same, whatever came after."""
        vectors = self._vectors(asked)
        with torch.no_grad():
            heads = zip(self.heads.weight[:sets], self.heads.bias[:sets], strict=True)
            found = [(vectors * weight).sum(1) + bias for weight, bias in heads]
        columns: Floats = torch.stack(found, 1).cpu().numpy().astype(np.float64)
        return columns

    def with_head(self, learnt: LabelSet, scores: Floats) -> tuple[MultiHeadPredictor, float]:
        """The same with one head more, and the variance of what it misses, as `fit_jointly` tells it.

        Ridge regression on what the reader says: neither reader nor other heads change.
        """
        vectors = self._vectors(learnt).cpu().numpy().astype(np.float64)
        held = folds(learnt.architectures) == STOPPING
        inputs, wanted = vectors[~held], scores[~held]
        centre, level = inputs.mean(0), wanted.mean()
        inputs = inputs - centre
        spread = float(inputs.var(0).mean()) or 1.0
        weight = np.linalg.solve(
            inputs.T @ inputs + _RIDGE * spread * np.eye(self.reader.width), inputs.T @ (wanted - level)
        )
        bias = level - weight @ centre
        grown = MultiHeadPredictor(self.heads.out_features + 1)
        state = self.state_dict()
        for name, part in {"heads.weight": weight[None], "heads.bias": np.array([bias])}.items():
            state[name] = torch.cat([state[name], torch.from_numpy(part).to(state[name])])
        grown.load_state_dict(state)
        missed = scores[held] - (vectors[held] @ weight + bias)
        variance = float((missed**2).mean()) if len(missed) >= _FEWEST else 1.0
        return grown.to(self.heads.weight.device).eval(), variance

    @torch.no_grad()
    def rescale(self, head: int, slope: float, offset: float) -> None:
        """Let a head say the same in other standard scores, a line over its own."""
        self.heads.weight[head] *= slope
        self.heads.bias[head] = self.heads.bias[head] * slope + offset

    @torch.no_grad()
    def _vectors(self, asked: LabelSet) -> Tensor:
        """(n, width)."""
        device = next(self.parameters()).device
        starts = range(0, len(asked), _TOGETHER)
        batches = (GraphBatch.of(asked.pool.nodes, asked.graphs[s : s + _TOGETHER], device) for s in starts)
        found = [self.reader(batch) for batch in batches]
        return torch.cat(found) if found else torch.zeros(0, self.reader.width, device=device)


def fit_jointly(
    sets: Sequence[LabelSet],
    scores: Sequence[Floats],
    seed: int,
    checkpointer: Checkpointer,
    settings: TrainingSettings,
) -> tuple[MultiHeadPredictor, Floats]:
    """The network, and (sets,) the variance of what it misses of each set's held-out labels; 1 where there are few.

    scores: a set, (n,) its labels as standard scores.
    """
    torch.manual_seed(seed)
    network = MultiHeadPredictor(len(sets)).to(best_device())
    learnt, tested = _parted(sets, scores)
    train_network(TrainingTask("joint", network, network, _loss, learnt, tested), settings, seed, checkpointer)
    return network, _missed(network, tested)


def update_jointly(
    network: MultiHeadPredictor,
    sets: Sequence[LabelSet],
    scores: Sequence[Floats],
    fresh: Sequence[NDArray[np.bool_]],
    seed: int,
    checkpointer: Checkpointer,
    settings: TrainingSettings,
) -> Floats:
    """Go on with a network, a head a set; (sets,) the variances, as `fit_jointly` tells them.

    fresh: a set, (n,) which of its labels are new. Their graphs come in every epoch, the others by lot.
    """
    learnt, tested = _parted(sets, scores)
    new, _ = _parted(sets, [mask.astype(np.float64) for mask in fresh])
    always = np.flatnonzero(np.nan_to_num(new.scores).any(axis=1))
    train_network(TrainingTask("more", network, network, _loss, learnt, tested, always), settings, seed, checkpointer)
    return _missed(network, tested)


def _parted(sets: Sequence[LabelSet], scores: Sequence[Floats]) -> tuple[Examples, Examples]:
    """What is learnt, and what tells when to stop."""
    held = [folds(one.architectures) == STOPPING for one in sets]
    learnt, tested = (
        Examples.of(
            [one.take(mask) for one, mask in zip(sets, masks, strict=True)],
            [values[mask] for values, mask in zip(scores, masks, strict=True)],
        )
        for masks in ([~mask for mask in held], held)
    )
    return learnt, tested


def _loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """Squared error, and how unlikely it makes the order of every two labels of a set."""
    apart = wanted[:, None] - wanted[None]
    told = scores[:, None] - scores[None]
    ordered = apart.abs() > _CLOSE  # not so where one is missing
    unlikely = torch.where(ordered, nn.functional.softplus(-told * apart.nan_to_num().sign()), 0.0)
    return mean_squared(scores, wanted) + unlikely.sum() / ordered.sum().clamp(min=1)


@torch.no_grad()
def _missed(network: MultiHeadPredictor, tested: Examples) -> Floats:
    sets = tested.scores.shape[1]
    if not len(tested):
        return np.ones(sets)
    device = next(network.parameters()).device
    parts = [tested.which[s : s + _TOGETHER] for s in range(0, len(tested), _TOGETHER)]
    told = [network(GraphBatch.of(tested.graphs, part, device)).cpu().numpy() for part in parts]
    missed = np.concatenate(told).astype(np.float64) - tested.scores
    enough = (~np.isnan(missed)).sum(0) >= _FEWEST
    squares: Floats = np.where(enough, np.nansum(missed**2, 0) / np.maximum(1, (~np.isnan(missed)).sum(0)), 1.0)
    return squares
