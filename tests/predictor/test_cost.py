"""FLOPs and parameters against figures worked out by hand."""

import torch
from torch import nn

from predictor import measure_cost


def test_cost_of_a_convolution_and_a_linear_layer() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module.append(nn.Linear(8, 10))
    cost = measure_cost(module, (3, 16, 16))
    assert cost.flops == 2 * (16 * 16 * 8 * 3 * 9 + 8 * 10)
    assert cost.params == 3 * 8 * 9 + 8 * 10 + 10


def test_the_module_does_not_change() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    measure_cost(module, (3, 8, 8))
    assert module.training
    assert not next(module.parameters()).is_meta
    assert torch.equal(module[1].running_mean, torch.zeros(4))
