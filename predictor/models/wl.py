"""The baseline `wl`: a Gaussian process with a Weisfeiler-Lehman kernel on graphs (Ru et al., ICLR 2021, NAS-BOWL)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from predictor.label_set import Floats, LabelSet
from predictor.models.base import MIN_SUPPORT, Model, NothingKnownError, Prediction, register, require
from predictor.models.scaling import PowerTransform
from predictor.networks.fitting import Checkpointer

_ROUNDS = 2  # of relabelling nodes by their inputs; round 0 counts operations alone
_KERNEL = 7  # the feature "kernel_height" of a node, which is part of its label
_NOISE_BOUNDS = (np.log(0.01), np.log(2.0))
_WEIGHT_BOUNDS = (np.log(1e-3), np.log(10.0))
_JITTER = 1e-8

_Histogram = Counter[int]


@register
class WeisfeilerLehman(Model):
    """Compares graphs by how many of their subtrees of inputs are equal, up to two operations deep.

    It knows labels of the query's set only; hyper-parameters maximise the marginal likelihood.
    """

    name = "wl"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._histograms: list[list[_Histogram]] | None = None
        self._weights = np.ones(_ROUNDS + 1)
        self._noise = 0.1
        self._transform: PowerTransform | None = None
        self._targets = np.zeros(0)

    def fit(self, sources: Sequence[LabelSet], checkpointer: Checkpointer | None = None) -> None:
        """Do nothing."""

    def adapt(self, support: LabelSet) -> None:
        """Fit the weight of each round and the noise."""
        if len(support) < MIN_SUPPORT:
            raise NothingKnownError(support.name)
        self._histograms = _histograms(support)
        self._transform = PowerTransform.of(support.values)
        self._targets = self._transform(support.values)
        parts = _similarities(self._histograms, self._histograms)

        def loss(logs: Floats) -> float:
            covariance = np.tensordot(np.exp(logs[:-1]), parts, 1) + np.exp(logs[-1]) * np.eye(len(support))
            factor = np.linalg.cholesky(covariance + _JITTER * np.eye(len(support)))
            whitened = np.linalg.solve(factor, self._targets)
            return float(0.5 * whitened @ whitened + np.log(np.diagonal(factor)).sum() + 0.5 * (logs**2).sum() / 9)

        start = np.array([*np.zeros(_ROUNDS + 1), np.log(0.1)])
        bounds = [_WEIGHT_BOUNDS] * (_ROUNDS + 1) + [_NOISE_BOUNDS]
        optimum = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
        self._weights, self._noise = np.exp(optimum.x[:-1]), float(np.exp(optimum.x[-1]))

    def predict(self, query: LabelSet) -> Prediction:
        """See `Model.predict`."""
        support, queries = require(self._histograms, self, "adapt"), _histograms(query)
        transform = require(self._transform, self, "adapt")
        covariance = np.tensordot(self._weights, _similarities(support, support), 1)
        precision = np.linalg.inv(covariance + (self._noise + _JITTER) * np.eye(len(self._targets)))
        cross = np.tensordot(self._weights, _similarities(queries, support), 1)
        mean = cross @ precision @ self._targets
        variance = self._weights.sum() + self._noise - np.einsum("qn,nm,qm->q", cross, precision, cross)
        return Prediction.from_quantiles(transform.quantiles(mean, np.sqrt(np.maximum(variance, _JITTER))))


def _histograms(labels: LabelSet) -> list[list[_Histogram]]:
    """Return, for each round, how often each node label occurs in each graph."""
    nodes = labels.pool.nodes
    graphs = []
    for graph in labels.graphs.tolist():
        rows = slice(nodes.node_start[graph], nodes.node_start[graph + 1])
        edges = nodes.edges[:, nodes.edge_start[graph] : nodes.edge_start[graph + 1]]
        kernels = np.rint(nodes.nodes[rows, _KERNEL] * 7).astype(np.int64)
        names = (nodes.ops[rows] * 100 + kernels).tolist()
        rounds = [Counter(names)]
        for _ in range(_ROUNDS):
            inputs: list[list[int]] = [[] for _ in names]
            for source, target in edges.T.tolist():
                inputs[target].append(names[source])
            names = [hash((name, tuple(sorted(sources)))) for name, sources in zip(names, inputs, strict=True)]
            rounds.append(Counter(names))
        graphs.append(rounds)
    return [[rounds[number] for rounds in graphs] for number in range(_ROUNDS + 1)]


def _similarities(first: list[list[_Histogram]], second: list[list[_Histogram]]) -> Floats:
    """Return (rounds, n, m) cosines of histograms."""
    parts = []
    for a, b in zip(first, second, strict=True):
        index: dict[int, int] = {}
        for histogram in b:
            for name in histogram:
                index.setdefault(name, len(index))
        left, right = _unit_rows(a, index), _unit_rows(b, index)
        parts.append(left @ right.T)
    return np.array(parts)


def _unit_rows(histograms: list[_Histogram], index: dict[int, int]) -> Floats:
    """Return (n, names) counts divided by the norm of all counts, also of those that are not in the index."""
    rows = np.zeros((len(histograms), len(index)))
    for row, histogram in zip(rows, histograms, strict=True):
        for name, count in histogram.items():
            if name in index:
                row[index[name]] = count
        row /= np.sqrt(sum(count**2 for count in histogram.values()))
    return rows
