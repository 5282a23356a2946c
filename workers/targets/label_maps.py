"""Class maps of stored images, which semantic segmentation is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from workers.targets.example import Example
from workers.targets.frame import Size
from workers.targets.view import View


@dataclass(frozen=True, slots=True)
class LabelMaps:
    """The (h, w) uint8 class ids of each stored image on the CPU, VOID where unknown.

    canvas: (height, width) of the inputs. contents: that of each image in its input, without padding.
    """

    maps: tuple[Tensor, ...]
    canvas: Size
    contents: tuple[Size, ...]

    @classmethod
    def of(cls, examples: Sequence[Example], views: Sequence[View]) -> LabelMaps:
        """Return the maps of examples that were loaded for evaluation."""
        contents = tuple(view.content for view in views)
        return cls(tuple(example["truth_semantic"] for example in examples), views[0].canvas, contents)

    def __len__(self) -> int:
        return len(self.maps)

    def to_stored_size(self, logits: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield logits (n, classes, h, w) at the size of stored images, and their maps (n, h, w).

        logits: (N, classes, h, w) for the inputs. Images of one size are interpolated together, in their order.
        """
        keys = [(content, tuple(truth.shape)) for content, truth in zip(self.contents, self.maps, strict=True)]
        start = 0
        for (content, size), group in groupby(keys):
            stop = start + len(list(group))
            scores = logits[start:stop].float()
            if content != self.canvas:
                scores = F.interpolate(scores, size=self.canvas, mode="bilinear")[..., : content[0], : content[1]]
            yield F.interpolate(scores, size=size, mode="bilinear"), torch.stack(self.maps[start:stop])
            start = stop
