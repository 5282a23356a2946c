"""Gradients are averaged over all processes of a group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, distributed, nn

from predictor.distributed import average_gradients


def parameters() -> list[nn.Parameter]:
    """Return three parameters, of which the second has no gradient."""
    made = [nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), (5,))]
    made[0].grad, made[2].grad = torch.ones(2, 3), torch.full((5,), 2.0)
    return made


def test_gradients_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_reduce(flat: Tensor) -> None:
        """Add another process, whose gradients are three times as large."""
        flat += 3 * flat.clone()

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    first, without, last = parameters()
    average_gradients([first, without, last])
    assert first.grad is not None
    assert last.grad is not None
    assert torch.equal(first.grad, torch.full((2, 3), 2.0))
    assert without.grad is None
    assert torch.equal(last.grad, torch.full((5,), 4.0))


def test_nothing_changes_without_a_group() -> None:
    made = parameters()
    average_gradients(made)
    assert made[0].grad is not None
    assert torch.equal(made[0].grad, torch.ones(2, 3))
