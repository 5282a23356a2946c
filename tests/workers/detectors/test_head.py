"""Cost and graph of detector heads."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from predictor import measure_cost, trace
from workers.data import Vocabulary
from workers.detectors.config import detector_config
from workers.detectors.head import DetectorHead, DetectorPart
from workers.messages.recipe_files import load_recipe

VOCABULARY = Vocabulary(("a", "b", "c"), 3)


class Pyramid(nn.Module):
    """Four levels from stride 4, each computed from the previous level, and a head on them."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        coarser = (nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3))
        self.levels, self.head = nn.ModuleList([nn.Conv2d(3, 8, 3, 4, 1), *coarser]), head

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        pyramid = list(itertools.accumulate(self.levels, lambda x, level: level(x), initial=images))[1:]
        outputs: list[torch.Tensor] = self.head(pyramid)
        return outputs


def test_masks_by_predicted_kernels_are_in_the_graph_and_in_the_cost() -> None:
    settings = load_recipe("laptop", "iseg", "nasbench201").head
    head = DetectorHead(detector_config((8, 8, 8, 8), VOCABULARY, settings, ""))
    whole, boxes = Pyramid(head), Pyramid(DetectorPart(head, ("bbox_head",), masks=False))
    size, instances, positions = (3, 96, 128), head.detector.test_cfg["max_per_img"], 12 * 16
    graph, without = trace(whole, size), trace(boxes, size)
    # The input is 8 channels and two coordinates of a position; the layers have 8, 8 and 1 channels.
    expected = 2 * (10 * 8 + 8 * 8 + 8) * positions * instances
    dynamic = [n for n in graph.nodes if n.op == "conv" and n.groups == instances]
    assert sum(n.flops for n in dynamic) == expected
    assert graph.flops == measure_cost(whole, size).flops > without.flops + expected
    assert graph.params == sum(p.numel() for p in whole.parameters())
    # Kernels come from the box head, so the masks depend on it.
    assert all(len(n.inputs) > 1 for n in dynamic)
