"""Instance masks that stay on the device, where mmdet's own copy them to the CPU and back for every batch."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align


class DeviceMasks(BitmapMasks):  # type: ignore[misc]  # mmdet has no types
    """mmdet's BitmapMasks of a (n, h, w) bool tensor. Methods that are not below copy it to the CPU, once."""

    def __init__(self, masks: Tensor) -> None:
        self.tensor = masks
        self.height, self.width = int(masks.shape[1]), int(masks.shape[2])

    @cached_property
    def masks(self) -> NDArray[np.uint8]:
        """The masks as mmdet stores them."""
        array: NDArray[np.uint8] = self.tensor.to(torch.uint8).cpu().numpy()
        return array

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Any) -> DeviceMasks:
        place = index if isinstance(index, slice) else torch.as_tensor(index, device=self.tensor.device)
        chosen = self.tensor[place]
        return DeviceMasks(chosen if chosen.dim() == 3 else chosen[None])

    def to_tensor(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """Return the masks as a tensor of a type on a device."""
        return self.tensor.to(device=device, dtype=dtype)

    def crop_and_resize(
        self,
        bboxes: NDArray[np.float32],
        out_shape: tuple[int, int],
        inds: Tensor,
        device: torch.device | str = "cpu",
        interpolation: str = "bilinear",
        binarize: bool = True,
    ) -> BitmapMasks:
        """Return the parts of masks in boxes, resized, as mmdet does. inds: (boxes,) the mask of each box."""
        if not len(self.tensor):
            return BitmapMasks(np.empty((0, *out_shape), dtype=np.uint8), *out_shape)
        boxes = torch.as_tensor(bboxes, device=device, dtype=torch.float32)
        regions = torch.cat([torch.as_tensor(inds, device=device, dtype=torch.float32)[:, None], boxes], 1)
        pixels = self.tensor.to(device=device, dtype=torch.float32)[:, None]
        parts = roi_align(pixels, regions, out_shape, 1.0, 0, aligned=True)[:, 0]
        return BitmapMasks((parts >= 0.5 if binarize else parts).cpu().numpy(), *out_shape)
