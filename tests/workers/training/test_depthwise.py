"""The strip-wise gradient equals the gradient of the convolution."""

import copy

import pytest
import torch
from torch import Tensor, nn

from workers.training.depthwise import DepthwiseConv2d, use_fast_depthwise_backward


def gradients(layer: nn.Conv2d, x: Tensor) -> dict[str, Tensor]:
    """Return the output and all gradients."""
    layer.zero_grad()
    x = x.detach().requires_grad_()
    output = layer(x)
    output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(1)))
    assert x.grad is not None
    return {"output": output.detach(), "input": x.grad} | {
        name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        (5, 1, 2, (9, 12)),
        (7, 1, 3, (3, 4)),
        (7, 2, 3, (12, 17)),
        (5, 2, 2, (7, 8)),
        ((3, 4), (2, 1), (0, 2), (8, 9)),
        ((1, 9), 3, (0, 4), (5, 14)),
        (4, 4, 0, (8, 8)),
    ],
)
def test_gradients_of_a_wide_depthwise_layer_are_equal(
    kernel: int, stride: int, padding: int, size: tuple[int, int], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, kernel, stride, padding, groups=6).double()
    x = torch.randn(3, 6, *size, dtype=torch.double).to(memory_format=layout)
    expected = gradients(layer, x)  # in double precision, so any difference is due to single precision
    layer = layer.float().to(memory_format=layout)
    use_fast_depthwise_backward(layer)
    assert type(layer) is DepthwiseConv2d
    actual = gradients(layer, x.float())
    assert actual.keys() == expected.keys() == {"output", "input", "weight", "bias"}
    for name, value in expected.items():
        assert torch.allclose(actual[name].double(), value, rtol=1e-4, atol=1e-4 * float(value.abs().max())), name


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4),  # narrow: already fast
        nn.Conv2d(4, 4, 5, padding=2),
        nn.Conv2d(4, 8, 5, padding=2, groups=4),
        nn.Conv2d(4, 4, 5, padding=4, dilation=2, groups=4),
        nn.Conv2d(4, 4, 5, padding="same", groups=4),
        nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect", groups=4),
    ],
)
def test_other_layers_are_unchanged(layer: nn.Conv2d) -> None:
    network = nn.Sequential(layer)
    use_fast_depthwise_backward(network)
    assert type(network[0]) is nn.Conv2d


def test_names_copies_and_frozen_weights_work() -> None:
    layer = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    names = list(layer.state_dict())
    use_fast_depthwise_backward(layer)
    again = copy.deepcopy(layer)
    assert list(again.state_dict()) == names
    layer.weight.requires_grad_(False)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None


def test_half_precision_trains_as_before() -> None:
    layer = nn.Conv2d(4, 4, 5, padding=2, groups=4)
    use_fast_depthwise_backward(layer)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(torch.randn(2, 4, 6, 6))
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert layer.weight.grad is not None
