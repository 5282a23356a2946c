"""The backbone that most families share: a stem and a sequence of stages, some of which are levels of the pyramid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from workers.spaces.base import Backbone

# Makes a block from input channels, output channels, stride, stage and the number of the block in the network.
MakeBlock = Callable[[int, int, int, int, int], nn.Module]


class StagedBackbone(Backbone):
    """A stem and stages. levels: indices of the stages whose outputs are the pyramid. channels, strides: of levels."""

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        levels: Sequence[int],
        channels: Sequence[int],
        strides: Sequence[int] = (4, 8, 16, 32),
    ) -> None:
        super().__init__()
        self.channels, self.strides = tuple(channels), tuple(strides)
        self.stem, self.stages = stem, nn.ModuleList(stages)
        self._levels = frozenset(levels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute one feature map per level, finest first."""
        x, pyramid = self.stem(images), []
        for stage, module in enumerate(self.stages):
            x = module(x)
            if stage in self._levels:
                pyramid.append(x)
        return pyramid


def stack_stages(
    c_in: int, widths: Sequence[int], strides: Sequence[int], block_counts: Sequence[int], make_block: MakeBlock
) -> list[nn.Module]:
    """Return stages of block_counts[i] blocks with widths[i] channels. The first block of stage i has strides[i]."""
    stages: list[nn.Module] = []
    number = 0
    for stage, (width, stride, count) in enumerate(zip(widths, strides, block_counts, strict=True)):
        blocks = []
        for i in range(count):
            blocks.append(make_block(c_in, width, stride if i == 0 else 1, stage, number))
            c_in = width
            number += 1
        stages.append(nn.Sequential(*blocks))
    return stages
