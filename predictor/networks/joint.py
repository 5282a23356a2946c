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
from predictor.networks.fitting import Journal, Lesson, Settings, fit, mean_squared
from predictor.networks.reader import Reader

SETTINGS = Settings(epochs=30, batch=32, rate=4e-3, decays=True, patience=8, most=4000)
_TOGETHER = 32  # graphs that are read at once: more of them do not fit a core's cache, and are slower
_CLOSE = 0.1  # standard scores: labels nearer than this are not asked to be ranked
_FEWEST = 5  # held-out labels of a set from which its error is told


class Joint(nn.Module):
    """(count, sets) standard scores of graphs."""

    def __init__(self, sets: int) -> None:
        super().__init__()
        self.reader = Reader()
        self.heads = nn.Linear(self.reader.width, sets)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], sets: int) -> Joint:
        """With the weights of `arrays`, by their names in `state_dict`."""
        network = cls(sets)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        return network.to(best_device()).eval()

    def forward(self, batch: GraphBatch) -> Tensor:
        """(count, sets)."""
        scores: Tensor = self.heads(self.reader(batch))
        return scores

    @torch.no_grad()
    def scores(self, asked: LabelSet) -> Floats:
        """(n, sets) of the networks of `asked`."""
        device = next(self.parameters()).device
        starts = range(0, len(asked), _TOGETHER)
        batches = (GraphBatch.of(asked.pool.nodes, asked.graphs[s : s + _TOGETHER], device) for s in starts)
        found = [self(batch).cpu().numpy() for batch in batches]
        return np.concatenate(found).astype(np.float64) if found else np.zeros((0, self.heads.out_features))


def learn_jointly(
    sets: Sequence[LabelSet], scores: Sequence[Floats], seed: int, journal: Journal, settings: Settings
) -> tuple[Joint, Floats]:
    """The network, and (sets,) the variance of what it misses of each set's held-out labels; 1 where there are few.

    scores: a set, (n,) its labels as standard scores.
    """
    torch.manual_seed(seed)
    network = Joint(len(sets)).to(best_device())
    held = [folds(one.architectures) == STOPPING for one in sets]
    learnt, tested = (
        Examples.of(
            [one.take(mask) for one, mask in zip(sets, masks, strict=True)],
            [values[mask] for values, mask in zip(scores, masks, strict=True)],
        )
        for masks in ([~mask for mask in held], held)
    )
    fit(Lesson("joint", network, network, _loss, learnt, tested), settings, seed, journal)
    return network, _missed(network, tested)


def _loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """Squared error, and how unlikely it makes the order of every two labels of a set."""
    apart = wanted[:, None] - wanted[None]
    told = scores[:, None] - scores[None]
    ordered = apart.abs() > _CLOSE  # not so where one is missing
    unlikely = torch.where(ordered, nn.functional.softplus(-told * apart.nan_to_num().sign()), 0.0)
    return mean_squared(scores, wanted) + unlikely.sum() / ordered.sum().clamp(min=1)


@torch.no_grad()
def _missed(network: Joint, tested: Examples) -> Floats:
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
