"""Masks on the device are cut and resized as mmdet's are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workers.detectors import mmdet_loading


@pytest.mark.parametrize("count", [0, 4])
def test_they_do_what_mmdets_masks_do(count: int) -> None:
    mmdet_loading.load()
    from mmdet.structures.mask import BitmapMasks

    from workers.detectors.device_masks import DeviceMasks

    rng = np.random.default_rng(0)
    array = (rng.random((count, 40, 50)) > 0.5).astype(np.uint8)
    ours, theirs = DeviceMasks(torch.from_numpy(array).bool()), BitmapMasks(array, 40, 50)
    assert len(ours) == len(theirs)
    assert np.array_equal(ours.to_ndarray(), theirs.to_ndarray())
    assert torch.equal(ours.to_tensor(torch.float32, "cpu"), theirs.to_tensor(torch.float32, "cpu"))
    assert np.array_equal(ours.areas, theirs.areas)
    corners = rng.uniform(0, 30, (9, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 12], 1)
    which = torch.from_numpy(rng.integers(0, max(1, count), 9))
    cut = [masks.crop_and_resize(boxes, (14, 14), which, "cpu").to_ndarray() for masks in (ours, theirs)]
    assert np.array_equal(*cut)
    if count:
        for index in (2, torch.tensor([1, 3]), np.array([True, False, True, False]), slice(1, 3)):
            expected = theirs[index].to_ndarray()
            assert np.array_equal(ours[index].to_ndarray(), expected)
