"""The backbone that most families share: a stem and a sequence of stages, some of which are levels of the pyramid."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from workers.spaces.base import Backbone


@dataclass(frozen=True, slots=True)
class Part:
    """A stem or block to be built: `make(*args)`. Equal parts are built alike."""

    make: Callable[..., nn.Module]
    args: tuple[Hashable, ...]

    def build(self) -> nn.Module:
        """Build the module."""
        return self.make(*self.args)


# Describes a block by input channels, output channels, stride, stage and the number of the block in the network.
PlanBlock = Callable[[int, int, int, int, int], Part]
# Builds the part that has this name in the backbone, such as stages.0.1.
BuildPart = Callable[[str, Part], nn.Module]


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


@dataclass(frozen=True, slots=True)
class BackbonePlan:
    """The parts of a `StagedBackbone`. The other fields are as there."""

    stem: Part
    stages: tuple[tuple[Part, ...], ...]
    levels: Sequence[int]
    channels: Sequence[int]

    def parts(self) -> dict[str, Part]:
        """Return all parts by their names in the backbone."""
        blocks = {f"stages.{i}.{j}": part for i, stage in enumerate(self.stages) for j, part in enumerate(stage)}
        return {"stem": self.stem} | blocks

    def build(self, build_part: BuildPart = lambda name, part: part.build()) -> StagedBackbone:
        """Build the backbone. build_part: returns the module of a part, for example one that was built before."""
        built = {name: build_part(name, part) for name, part in self.parts().items()}
        stages = [
            nn.Sequential(*(built[f"stages.{i}.{j}"] for j in range(len(stage)))) for i, stage in enumerate(self.stages)
        ]
        return StagedBackbone(built["stem"], stages, self.levels, self.channels)


def plan_stages(
    c_in: int, widths: Sequence[int], strides: Sequence[int], block_counts: Sequence[int], plan_block: PlanBlock
) -> tuple[tuple[Part, ...], ...]:
    """Return stages of block_counts[i] blocks with widths[i] channels. The first block of stage i has strides[i]."""
    stages: list[tuple[Part, ...]] = []
    number = 0
    for stage, (width, stride, count) in enumerate(zip(widths, strides, block_counts, strict=True)):
        blocks = []
        for i in range(count):
            blocks.append(plan_block(c_in, width, stride if i == 0 else 1, stage, number))
            c_in = width
            number += 1
        stages.append(tuple(blocks))
    return tuple(stages)
