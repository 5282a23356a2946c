"""Replays of choosing what to label, on tables of published labels: what a strategy would have found, label by label.

python -m tests.support.replay STORE OUT.jsonl --seeds 10 --part 0/1

STORE holds imported labels (`orchestrator import`). A line of OUT.jsonl is one replay: set, strategy, seed, and the
labels in the order in which they were chosen. Replays that are in the file are not run again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.search.acquisition import BEST, BOTH, DIVERSE, Situation, select
from orchestrator.search.distances import SAME, Floats, distances_to, standardised
from orchestrator.search.surrogate import AdaptedModel
from orchestrator.store.delta import DeltaLabelStore
from predictor.label_set import LabelSet

START, ROUND, MOST = 10, 4, 100  # random labels at the start, labels a round, labels at most
CANDIDATES, NEAREST, PARENTS = 500, 10, 8
TOURNAMENT, LIVING = 5, 20  # of regularised evolution (Real et al. 2019), for few labels
MEMBERS = 5  # networks in the ensemble of `bananas` (White et al. 2021)

Rows = list[int]
Choose = Callable[["Table", Rows, np.random.Generator, int], Rows]


@dataclass(frozen=True, eq=False)
class Table:
    """All labels of a set, of which a strategy sees only those that it asked for. Higher values are better."""

    labels: LabelSet

    @property
    def values(self) -> Floats:
        """(n,) the labels."""
        return self.labels.values

    @cached_property
    def points(self) -> Floats:
        """(n, columns) standardised statistics of the graphs."""
        return standardised(self.labels.statistics)

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """(n, NEAREST) for each network the nearest others with another graph: its mutations."""
        found = []
        for row in self.points:
            distances = distances_to(self.points, row)
            found.append(np.where(distances > SAME, distances, np.inf).argsort(kind="stable")[:NEAREST])
        return np.array(found)

    def candidates(self, known: Rows, rng: np.random.Generator) -> Rows:
        """Return a sample of the networks without labels, and the neighbours of the best with labels."""
        free = np.setdiff1d(np.arange(len(self.values)), known)
        sampled = rng.permutation(free)[:CANDIDATES].tolist()
        best = sorted(known, key=lambda row: -self.values[row])[:PARENTS]
        near = [int(row) for parent in best for row in self.neighbours[parent] if row not in set(known)]
        return list(dict.fromkeys([*sampled, *near]))


def random_rows(table: Table, known: Rows, rng: np.random.Generator, count: int) -> Rows:
    """Return unlabelled networks at random."""
    return [int(row) for row in rng.permutation(np.setdiff1d(np.arange(len(table.values)), known))[:count]]


def evolution(table: Table, known: Rows, rng: np.random.Generator, count: int) -> Rows:
    """Return mutations of the best of some of the youngest, one after the other."""
    chosen: Rows = []
    for _ in range(count):
        taken = {*known, *chosen}
        drawn = rng.choice(known[-LIVING:], TOURNAMENT, replace=False)
        parent = max(drawn, key=lambda row: table.values[row])
        free = [int(row) for row in table.neighbours[parent] if row not in taken]
        chosen += [int(rng.choice(free))] if free else random_rows(table, [*taken], rng, 1)
    return chosen


def local_search(table: Table, known: Rows, rng: np.random.Generator, count: int) -> Rows:
    """Return unlabelled neighbours of the best network that has some (White et al. 2021, local search)."""
    for parent in sorted(known, key=lambda row: -table.values[row]):
        free = [int(row) for row in table.neighbours[parent] if row not in known]
        if free:
            return [int(row) for row in rng.permutation(free)[:count]]
    return random_rows(table, known, rng, count)


def bananas(table: Table, known: Rows, rng: np.random.Generator, count: int) -> Rows:
    """Return the best by draws from an ensemble of networks (independent Thompson sampling, White et al. 2021).

    Its inputs are the statistics that all strategies here know, not paths of cells.
    """
    free = table.candidates(known, rng)
    values = table.values[known]
    scaled = (values - values.mean()) / (values.std() or 1.0)
    opinions = []
    for _ in range(MEMBERS):
        member = MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=300, learning_rate_init=0.01)
        member.set_params(random_state=int(rng.integers(1 << 31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            member.fit(table.points[known] * np.sqrt(table.points.shape[1]), scaled)
        opinions.append(member.predict(table.points[free] * np.sqrt(table.points.shape[1])))
    drawn = rng.normal(np.mean(opinions, axis=0), np.std(opinions, axis=0))
    return [free[row] for row in np.argsort(-drawn, kind="stable")[:count]]


def by_acquisition(mode: str) -> Choose:
    """Return the strategy of `label --choose MODE`, with the predictor `default` without source tasks."""

    def choose(table: Table, known: Rows, rng: np.random.Generator, count: int) -> Rows:
        free = table.candidates(known, rng)
        prediction = None
        if mode != DIVERSE:
            prediction = AdaptedModel().adapted(table.labels.take(np.array(known)))(table.labels.take(np.array(free)))
        situation = Situation(
            candidates=table.labels.statistics[free],
            taken=table.labels.statistics[known],
            mean=None if prediction is None else prediction.mean,
            deviation=None if prediction is None else prediction.deviation,
            best=float(table.values[known].max()),
        )
        return [free[pick.row] for pick in select(situation, mode, count)]

    return choose


STRATEGIES: dict[str, Choose] = {
    "random": random_rows,
    "evolution": evolution,
    "local": local_search,
    "bananas": bananas,
    **{mode: by_acquisition(mode) for mode in (DIVERSE, BOTH, BEST)},
}
# Those that seek the best network end when they have it; the others serve the predictor.
_SEEKING = frozenset(STRATEGIES) - {"random", DIVERSE}


def replay(table: Table, strategy: str, seed: int, most: int = MOST) -> Rows:
    """Return the networks in the order in which they are labelled. Equal seeds start with the same ones."""
    known = [int(row) for row in np.random.default_rng(seed).permutation(len(table.values))[:START]]
    rng, best = np.random.default_rng((seed, 1)), table.values.max()
    while len(known) < most and not (strategy in _SEEKING and table.values[known].max() == best):
        chosen = STRATEGIES[strategy](table, known, rng, min(ROUND, most - len(known)))
        known += chosen or random_rows(table, known, rng, 1)
    return known


def rank_correlation(table: Table, known: Rows) -> float:
    """Return Spearman's correlation of the predictor `default`, fitted to the known labels, on all others."""
    rest = np.setdiff1d(np.arange(len(table.values)), known)
    predict = AdaptedModel().adapted(table.labels.take(np.array(known)))
    return float(spearmanr(predict(table.labels.take(rest)).mean, table.values[rest]).statistic)


def run_one(table: Table, strategy: str, seed: int) -> dict[str, object]:
    """Return one line of results."""
    begin = time.process_time()
    rows = replay(table, strategy, seed, 34 if strategy == DIVERSE else MOST)
    line: dict[str, object] = {"strategy": strategy, "seed": seed, "values": table.values[rows].tolist()}
    line |= {"best": float(table.values.max()), "seconds": time.process_time() - begin}
    if strategy in {"random", DIVERSE} and seed < 10:
        line["spearman"] = {n: rank_correlation(table, rows[:n]) for n in (22, 30)}
    return line


def _wanted(sets: list[LabelSet], strategies: list[str], seeds: int) -> Iterator[tuple[LabelSet, str, int]]:
    for seed in range(seeds):
        for labels in sets:
            yield from ((labels, strategy, seed) for strategy in strategies)


def main() -> None:
    """Run what the file lacks, a part of it if several processes share the work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--space", help="replay the sets of this space only")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    sets, _ = read_label_sets(DeltaLabelStore(arguments.store))
    lines = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    done = {(line["set"], line["strategy"], line["seed"]) for line in lines}
    sets = [labels for labels in sets if arguments.space in (None, labels.space)]
    tables = {labels.name: Table(labels) for labels in sets}
    wanted = list(_wanted(sets, arguments.strategies.split(","), arguments.seeds))
    for number, (labels, strategy, seed) in enumerate(wanted):
        if number % parts == part and (labels.name, strategy, seed) not in done:
            line = {"set": labels.name} | run_one(tables[labels.name], strategy, seed)
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
