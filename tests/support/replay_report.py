"""Tables and curves of replays: python -m tests.support.replay_report REPLAYS.jsonl [CURVES.svg].

Intervals are of 90 %, by bootstrap over seeds; differences are paired by seed.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.search.distances import Floats
from tests.support.replay import MOST, STRATEGIES

Lines = Mapping[int, Mapping[str, Any]]  # by seed
FEW, MANY = 22, 60  # labels of the strategies, and of the random sample that they are compared with
POINTS = 100.0


def read(path: Path) -> dict[str, dict[str, Lines]]:
    """Return the replays by set, strategy and seed."""
    found: dict[str, dict[str, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for line in path.read_text().splitlines():
        replay = json.loads(line)
        found[replay["set"]][replay["strategy"]][replay["seed"]] = replay
    return {name: dict(strategies) for name, strategies in sorted(found.items())}


def regret(replay: Mapping[str, Any], labels: int) -> float:
    """Return how far the best of the first labels is from the best of the table, in hundredths of the metric."""
    return POINTS * float(replay["best"] - max(replay["values"][:labels]))


def queries(replay: Mapping[str, Any]) -> int:
    """Return the number of labels until the best of the table is found; MOST if it is not found by then."""
    values = replay["values"]
    return values.index(replay["best"]) + 1 if replay["best"] in values else MOST


def interval(values: Sequence[float]) -> str:
    """Return the mean and the 90 % interval of the mean."""
    drawn = np.random.default_rng(0).choice(np.array(values), (2000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, (0.05, 0.95))
    return f"{np.mean(values):.3g} ({low:.3g} to {high:.3g})"


def compared(
    strategies: Mapping[str, Lines], first: str, second: str, score: Callable[[str, Mapping[str, Any]], float]
) -> tuple[str, int]:
    """Return the mean difference of `first` to `second` over the seeds that both have, and the number of seeds."""
    seeds = sorted(strategies.get(first, {}).keys() & strategies.get(second, {}).keys())
    differences = [score(first, strategies[first][s]) - score(second, strategies[second][s]) for s in seeds]
    return (interval(differences), len(seeds)) if seeds else ("", 0)


def correlation(labels: Mapping[str, int]) -> Callable[[str, Mapping[str, Any]], float]:
    """Return the score of a strategy's first labels: the rank correlation of a predictor that is fitted to them."""
    return lambda strategy, replay: float(replay["spearman"][str(labels[strategy])])


def print_tables(replays: Mapping[str, Mapping[str, Lines]]) -> None:
    """Print one row for each set."""
    print(
        f"Spearman, diverse at {FEW} minus random at 30 labels | regret, both and best at {FEW} minus random at {MANY}"
    )
    for name, strategies in replays.items():
        scored = {s: {k: v for k, v in lines.items() if "spearman" in v} for s, lines in strategies.items()}
        ranks, seeds = compared(scored, "diverse", "random", correlation({"diverse": FEW, "random": 30}))
        means = [
            f"{s} {np.mean([v['spearman'][n] for v in scored[s].values()]):.3f}" for s, n in _SHOWN if scored.get(s)
        ]
        print(f"{name} | {', '.join(means)}: {ranks}, {seeds} seeds", end="")
        for strategy in ("both", "best"):
            score = _regret_of({strategy: FEW, "random": MANY})
            difference, seeds = compared(strategies, strategy, "random", score)
            print(f" | {strategy} {difference}, {seeds} seeds", end="")
        print()
    print(f"\nlabels to the best network, mean (90 %), {MOST} where it is not found; share that found it")
    for name, strategies in replays.items():
        cells = []
        for strategy in STRATEGIES:
            if strategy != "diverse" and (lines := strategies.get(strategy)):
                counts = [queries(line) for line in lines.values()]
                share = np.mean([line["best"] in line["values"] for line in lines.values()])
                cells.append(f"{strategy} {interval(counts)} {share:.0%} of {len(counts)}")
        print(f"{name} | {' | '.join(cells)}")


_SHOWN = (("random", "22"), ("random", "30"), ("diverse", "22"), ("diverse", "30"))


def _regret_of(labels: Mapping[str, int]) -> Callable[[str, Mapping[str, Any]], float]:
    return lambda strategy, replay: regret(replay, labels[strategy])


def draw_curves(replays: Mapping[str, Mapping[str, Lines]], path: Path) -> None:
    """Draw the mean regret over the number of labels, one panel for each set."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "replay"
    import matplotlib.pyplot as plt

    columns = 4
    rows = -(-len(replays) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False)
    for axis in axes.flat[len(replays) :]:
        axis.remove()
    for axis, (name, strategies) in zip(axes.flat, replays.items(), strict=False):
        for strategy in STRATEGIES:
            if strategy != "diverse" and (lines := strategies.get(strategy)):
                axis.plot(range(10, MANY + 1), _mean_regrets(list(lines.values())), label=strategy, linewidth=1.4)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("labels")
        axis.set_ylabel("regret (hundredths)", fontsize=8)
    axes.flat[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _mean_regrets(lines: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([np.mean([regret(line, n) for line in lines]) for n in range(10, MANY + 1)])


if __name__ == "__main__":
    found = read(Path(sys.argv[1]))
    print_tables(found)
    if len(sys.argv) > 2:
        draw_curves(found, Path(sys.argv[2]))
