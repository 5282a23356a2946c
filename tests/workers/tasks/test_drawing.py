"""Drawing on images."""

from __future__ import annotations

import numpy as np
import torch

from workers.tasks.drawing import with_masks


def test_overlapping_masks_have_the_colour_of_the_first() -> None:
    image = torch.full((3, 4, 6), 100, dtype=torch.uint8)
    left, right = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    left[:, :4], right[:, 2:] = True, True
    both, alone = with_masks(image, [left, right], [0, 1]), with_masks(image, [left], [0])
    assert torch.equal(both[:, :, :4], alone[:, :, :4])
    assert torch.equal(both[:, :, 4:], with_masks(image, [right], [1])[:, :, 4:])
    assert not torch.equal(alone, image)
