"""The body that most families share: a stem, then stages one after another, some of which end a pyramid level."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from workers.spaces.base import Backbone

# (channels in, channels out, stride, stage, number of the block counted over the network) to a block.
MakeBlock = Callable[[int, int, int, int, int], nn.Module]


class StagedBackbone(Backbone):
    """Stem, then stages. `levels` are the indices of the stages whose output is the last at its stride."""

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
        """One feature map a level, finest first."""
        x, pyramid = self.stem(images), []
        for stage, module in enumerate(self.stages):
            x = module(x)
            if stage in self._levels:
                pyramid.append(x)
        return pyramid


def stack_stages(
    c_in: int, widths: Sequence[int], strides: Sequence[int], blocks: Sequence[int], make: MakeBlock
) -> list[nn.Module]:
    """Stages of blocks[i] blocks with widths[i] channels; the first block of a stage has its stride."""
    stages: list[nn.Module] = []
    slot = 0
    for stage, (width, stride, count) in enumerate(zip(widths, strides, blocks, strict=True)):
        sequence = []
        for i in range(count):
            sequence.append(make(c_in, width, stride if i == 0 else 1, stage, slot))
            c_in = width
            slot += 1
        stages.append(nn.Sequential(*sequence))
    return stages
