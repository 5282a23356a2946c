"""Modules that read constants which they make on the image's device, as the DETR family does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from predictor.graph import TraceError, trace
from tests.support.graph_modules import FunctionModule

SIZE = (3, 8, 8)


def all_of_a_mask(m: Any, x: Tensor) -> Tensor:
    mask = torch.ones(x.shape[0], *x.shape[2:], dtype=torch.bool, device=x.device)
    return m.c(x) if bool(mask.all()) else x


def item_of_a_downsampled_mask(m: Any, x: Tensor) -> Tensor:
    mask = nn.functional.interpolate(torch.ones(1, 1, 8, 8, device=x.device), size=(4, 4))
    return m.c(x) if mask.min().item() == 1 else x


def a_mask_written_in_place(m: Any, x: Tensor) -> Tensor:
    mask = torch.zeros_like(x[:, 0], dtype=torch.bool)
    mask[:, :4] = True
    return m.c(x[:, :, : int(mask.sum().item()) // 8])


def a_size_computed_from_a_range(m: Any, x: Tensor) -> Tensor:
    positions = torch.arange(8, device=x.device).cumsum(0)
    return m.c(x[..., : int(positions.max().item()) // 7])


def selected_rows(m: Any, x: Tensor) -> Tensor:
    index = torch.eye(8, device=x.device).diagonal().gt(0).nonzero().squeeze(1)
    return m.c(x.index_select(2, index))


def equal_constants(m: Any, x: Tensor) -> Tensor:
    return m.c(x) if torch.equal(x.new_zeros(3), x.new_full((3,), 0.0)) else x


def a_list_made_a_tensor(m: Any, x: Tensor) -> Tensor:
    sizes = torch.tensor([[4, 4], [2, 2]], device=x.device)
    return m.c(x[:, :, : sizes.prod(1).max().item() // 2])


@pytest.mark.parametrize(
    "function",
    [
        all_of_a_mask,
        item_of_a_downsampled_mask,
        a_mask_written_in_place,
        a_size_computed_from_a_range,
        selected_rows,
        equal_constants,
        a_list_made_a_tensor,
    ],
)
def test_values_of_constants_are_read(function: Callable[[Any, Tensor], Tensor]) -> None:
    module = FunctionModule(function, c=nn.Conv2d(3, 4, 1))
    graph, state = trace(module, SIZE), torch.random.get_rng_state()
    assert "conv" in [node.op for node in graph.nodes]
    with torch.no_grad():
        expected = module(torch.ones(1, *SIZE))
    conv = next(node for node in graph.nodes if node.op == "conv")
    assert (conv.channels_out, conv.positions_out) == (4, expected[0, 0].numel())  # as the module computes it
    trace(module, SIZE)
    assert torch.equal(torch.random.get_rng_state(), state)


def image_written_into_a_constant(m: Any, x: Tensor) -> Tensor:
    mask = torch.ones(1, 3, 8, 8, device=x.device)
    mask[:, :, :4] = x[:, :, :4]
    return m.c(x) if mask.min() > 0 else x


def weights_written_into_a_constant(m: Any, x: Tensor) -> Tensor:
    kept = torch.zeros(4, device=x.device)
    kept.copy_(m.c.bias)
    return m.c(x) if kept.sum() > 0 else x


def random_numbers(m: Any, x: Tensor) -> Tensor:
    return m.c(x) if torch.rand(3, device=x.device).mean() > 0.5 else x


def a_constant_too_large_to_compute(m: Any, x: Tensor) -> Tensor:
    return m.c(x) if torch.ones(3000, 3000, device=x.device).all() else x


@pytest.mark.parametrize(
    "function",
    [
        image_written_into_a_constant,
        weights_written_into_a_constant,
        random_numbers,
        a_constant_too_large_to_compute,
        lambda m, x: m.c(x) if (x > 0).all() else x,
    ],
)
def test_other_values_are_not_made_up(function: Callable[[Any, Tensor], Tensor]) -> None:
    with pytest.raises(TraceError, match="depends on the values of tensors") as caught:
        trace(FunctionModule(function, c=nn.Conv2d(3, 4, 1)), SIZE)
    assert "meta" not in str(caught.value)


class TwoInputs(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image * mask


def test_a_module_of_more_inputs_names_them() -> None:
    with pytest.raises(TraceError, match="TwoInputs: takes more than an image, also mask: give a module"):
        trace(TwoInputs(), SIZE)


class NoImage(nn.Module):
    def forward(self, image: Tensor, text: Tensor | None = None) -> Any:
        return text.shape  # type: ignore[union-attr]


def test_words_of_python_do_not_leak() -> None:
    with pytest.raises(TraceError, match=r"NoImage: cannot run on an image of 3x8x8 \(in forward, .* line") as caught:
        trace(NoImage(), SIZE)
    assert "NoneType" not in str(caught.value)
