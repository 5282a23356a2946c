"""Learning goes on where it stopped, stops when it should, and shares its batches among workers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from predictor.models.scaling import standard_scores
from predictor.networks import fitting
from predictor.networks.checkpoints import FolderCheckpointer, read_progress
from predictor.networks.examples import FOLDS, Examples, folds
from predictor.networks.fitting import (
    NoCheckpointer,
    TrainingProgress,
    TrainingSettings,
    TrainingTask,
    mean_squared,
    train_network,
)
from predictor.networks.multi_head import MultiHeadPredictor
from tests.support.synthetic_sets import label_set

SETS = [label_set("a/seg/x", 60, [1, 0, 0, 0, 0]), label_set("a/det/x", 60, [0, 1, 0, 0, 0]).take(np.arange(40))]
EXAMPLES = Examples.of(SETS, [standard_scores(one.values) for one in SETS])
SETTINGS = TrainingSettings(epochs=6, batch=16, rate=3e-3, decays=True)


class Dies(FolderCheckpointer):
    """Notes an epoch and dies."""

    def note(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        super().note(stage, progress, state, epochs)
        if progress.epoch == 3:
            raise KeyboardInterrupt


def task_(held_out: Examples | None = None) -> TrainingTask:
    torch.manual_seed(0)
    network = MultiHeadPredictor(2)
    nothing = EXAMPLES.take(np.arange(0))
    return TrainingTask("joint", network, network, mean_squared, EXAMPLES, nothing if held_out is None else held_out)


def test_a_training_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, first, second = task_(), task_(), task_()
    end = train_network(whole, SETTINGS, 0, NoCheckpointer())
    with pytest.raises(KeyboardInterrupt):
        train_network(first, SETTINGS, 0, Dies(tmp_path))
    assert read_progress(tmp_path) is not None
    assert train_network(second, SETTINGS, 0, FolderCheckpointer(tmp_path)) == end
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name
    told = read_progress(tmp_path)
    assert told is not None
    assert (told["stage"], told["epoch"], told["epochs"]) == ("joint", 6, 6)


def test_it_learns() -> None:
    short, long = (
        train_network(task_(), TrainingSettings(epochs, 16, 3e-3), 0, NoCheckpointer()).loss for epochs in (1, 12)
    )
    assert long < 0.7 * short


def test_it_stops_where_the_hold_out_gets_no_better_and_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([0.9, 0.5, 0.7, 0.6, 0.8, 0.1])
    monkeypatch.setattr(fitting, "held_out_loss", lambda task_, batch: next(told))
    end = train_network(
        task_(EXAMPLES.take(np.arange(5))), TrainingSettings(6, 16, 3e-3, patience=3), 0, NoCheckpointer()
    )
    assert (end.epoch, end.best_epoch, end.best_loss) == (5, 2, 0.5)


def test_workers_share_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings(1, 16, 1e-3, most=50)
    alone = list(fitting._batches(60, settings, seed=3))
    assert [len(batch) for batch in alone] == [16, 16, 16, 2]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(list(fitting._batches(60, settings, seed=3)))
    assert [len(share) for share in shares] == [3, 3, 3]  # two graphs cannot be shared by three
    for number, parts in enumerate(zip(*shares, strict=True)):
        assert sorted(np.concatenate(parts)) == sorted(alone[number])


def test_a_graph_has_the_labels_of_all_sets() -> None:
    assert EXAMPLES.scores.shape == (60, 2)
    assert np.isnan(EXAMPLES.scores).sum(0).tolist() == [0, 20]


def test_folds_are_a_matter_of_the_architecture() -> None:
    names = np.array([f"a-{number}" for number in range(2000)])
    found = folds(names)
    assert np.array_equal(found[::-1], folds(names[::-1]))
    assert (abs(np.bincount(found, minlength=FOLDS) - 200) < 60).all()


def test_no_epoch_leaves_out_what_is_new() -> None:
    always = np.array([3, 17, 40])
    for seed in range(3):
        rows = np.concatenate(list(fitting._batches(60, TrainingSettings(1, 8, 1e-3, most=20), seed, always)))
        assert len(rows) == len(set(rows)) == 20
        assert set(always) <= set(rows)
        many = np.concatenate(list(fitting._batches(60, TrainingSettings(1, 8, 1e-3, most=20), seed, np.arange(30))))
        assert sorted(many) == list(range(30))


def test_weights_that_know_something_are_kept_where_no_epoch_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, epoch, changed in (([0.2, 0.5, 0.3, 0.4], 0, False), ([0.2, 0.5, 0.1, 0.4], 2, True)):
        losses, learner = iter(told), task_(EXAMPLES.take(np.arange(5)))
        monkeypatch.setattr(fitting, "held_out_loss", lambda task_, batch, losses=losses: next(losses))
        before = {name: value.clone() for name, value in learner.network.state_dict().items()}
        end = train_network(learner, TrainingSettings(3, 16, 3e-3, patience=3, from_known=True), 0, NoCheckpointer())
        assert (end.best_epoch, end.best_loss) == (epoch, min(told))
        same = [torch.equal(value, before[name]) for name, value in learner.network.state_dict().items()]
        assert all(same) != changed
