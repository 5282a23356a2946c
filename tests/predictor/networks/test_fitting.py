"""Training resumes from a checkpoint, stops early, and shares its batches among workers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from predictor.models.scaling import standard_scores
from predictor.networks import fitting
from predictor.networks.checkpoints import FolderCheckpointer, read_progress
from predictor.networks.examples import FOLD_COUNT, Examples, folds
from predictor.networks.fitting import (
    NoCheckpointer,
    TrainingProgress,
    TrainingSettings,
    TrainingTask,
    mean_squared_error,
    train_network,
)
from predictor.networks.multi_head import MultiHeadPredictor
from tests.support.synthetic_sets import label_set

SETS = [label_set("a/seg/x", 60, [1, 0, 0, 0, 0]), label_set("a/det/x", 60, [0, 1, 0, 0, 0]).take(np.arange(40))]
EXAMPLES = Examples.of(SETS, [standard_scores(one.values) for one in SETS])
SETTINGS = TrainingSettings(epochs=6, batch_size=16, learning_rate=3e-3, cosine_decay=True)


class KilledCheckpointer(FolderCheckpointer):
    """Saves three epochs, then stops the training."""

    def save(self, stage: str, progress: TrainingProgress, state: Callable[[], dict[str, Tensor]], epochs: int) -> None:
        super().save(stage, progress, state, epochs)
        if progress.epoch == 3:
            raise KeyboardInterrupt


def task_(held_out: Examples | None = None) -> TrainingTask:
    torch.manual_seed(0)
    network = MultiHeadPredictor(2)
    nothing = EXAMPLES.take(np.arange(0))
    return TrainingTask(
        "joint", network, network, mean_squared_error, EXAMPLES, nothing if held_out is None else held_out
    )


def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, first, second = task_(), task_(), task_()
    end = train_network(whole, SETTINGS, 0, NoCheckpointer())
    with pytest.raises(KeyboardInterrupt):
        train_network(first, SETTINGS, 0, KilledCheckpointer(tmp_path))
    assert read_progress(tmp_path) is not None
    assert train_network(second, SETTINGS, 0, FolderCheckpointer(tmp_path)) == end
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name
    saved = read_progress(tmp_path)
    assert saved is not None
    assert (saved["stage"], saved["epoch"], saved["epochs"]) == ("joint", 6, 6)


def test_training_reduces_the_loss() -> None:
    short, long = (
        train_network(task_(), TrainingSettings(epochs, 16, 3e-3), 0, NoCheckpointer()).loss for epochs in (1, 12)
    )
    assert long < 0.7 * short


def test_early_stopping_returns_the_best_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.9, 0.5, 0.7, 0.6, 0.8, 0.1])
    monkeypatch.setattr(fitting, "held_out_loss", lambda task_, batch_size: next(losses))
    end = train_network(
        task_(EXAMPLES.take(np.arange(5))), TrainingSettings(6, 16, 3e-3, patience=3), 0, NoCheckpointer()
    )
    assert (end.epoch, end.best_epoch, end.best_loss) == (5, 2, 0.5)


def test_workers_share_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings(1, 16, 1e-3, epoch_graphs=50)
    alone = list(fitting._batches(60, settings, seed=3))
    assert [len(batch) for batch in alone] == [16, 16, 16, 2]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(list(fitting._batches(60, settings, seed=3)))
    assert [len(share) for share in shares] == [3, 3, 3]  # the last batch has fewer graphs than workers
    for number, parts in enumerate(zip(*shares, strict=True)):
        assert sorted(np.concatenate(parts)) == sorted(alone[number])


def test_a_graph_has_one_column_per_set() -> None:
    assert EXAMPLES.scores.shape == (60, 2)
    assert np.isnan(EXAMPLES.scores).sum(0).tolist() == [0, 20]


def test_folds_depend_on_the_architecture_alone() -> None:
    names = np.array([f"a-{number}" for number in range(2000)])
    found = folds(names)
    assert np.array_equal(found[::-1], folds(names[::-1]))
    assert (abs(np.bincount(found, minlength=FOLD_COUNT) - 200) < 60).all()


def test_every_epoch_has_the_new_labels() -> None:
    new = np.array([3, 17, 40])
    settings = TrainingSettings(1, 8, 1e-3, epoch_graphs=20)
    for seed in range(3):
        rows = np.concatenate(list(fitting._batches(60, settings, seed, new)))
        assert len(rows) == len(set(rows)) == 20
        assert set(new) <= set(rows)
        many = np.concatenate(list(fitting._batches(60, settings, seed, np.arange(30))))
        assert sorted(many) == list(range(30))


def test_warm_start_weights_are_returned_if_no_epoch_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    for losses, epoch, changed in (([0.2, 0.5, 0.3, 0.4], 0, False), ([0.2, 0.5, 0.1, 0.4], 2, True)):
        next_loss, learner = iter(losses), task_(EXAMPLES.take(np.arange(5)))
        monkeypatch.setattr(fitting, "held_out_loss", lambda task_, batch_size, next_loss=next_loss: next(next_loss))
        before = {name: value.clone() for name, value in learner.network.state_dict().items()}
        end = train_network(learner, TrainingSettings(3, 16, 3e-3, patience=3, warm_start=True), 0, NoCheckpointer())
        assert (end.best_epoch, end.best_loss) == (epoch, min(losses))
        same = [torch.equal(value, before[name]) for name, value in learner.network.state_dict().items()]
        assert all(same) != changed


@pytest.mark.parametrize(
    "text", ["", "null", "{}", '{"epoch": "x", "weights": "a"}', '{"epoch": 1, "weights": ["a"]}', "[" * 100_000]
)
def test_a_damaged_checkpoint_is_not_used(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpointer = FolderCheckpointer(tmp_path)
    checkpointer.save("joint", TrainingProgress(1, 0.5), lambda: {"w": torch.ones(2)}, 3)
    assert checkpointer.load("joint") is not None
    (tmp_path / "joint.json").write_text(text)
    assert checkpointer.load("joint") is None
    checkpointer.save("joint", TrainingProgress(1, 0.5), lambda: {"w": torch.ones(2)}, 3)
    (tmp_path / "joint.1.safetensors").write_bytes(b"torn")
    assert checkpointer.load("joint") is None
    assert "starting from the first epoch" in caplog.text
