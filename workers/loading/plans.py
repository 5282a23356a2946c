"""Which images a batch has. Plans depend on seed and step alone, so training can continue at any step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The images of one batch, or of a part of it.

    indices: of examples. seed, step: of the training, which the views of the images depend on; None for whole images.
    """

    indices: tuple[int, ...]
    seed: int = 0
    step: int | None = None

    def parts(self, count: int) -> list[BatchPlan]:
        """Split the batch into `count` parts, fewer if it has fewer images."""
        starts = range(min(count, len(self.indices)))
        return [BatchPlan(self.indices[i::count], self.seed, self.step) for i in starts]


def training_plans(groups: Sequence[int], batch: int, steps: int, seed: int, first: int = 0) -> Iterator[BatchPlan]:
    """Yield the plans of the steps from `first` on, equal for all architectures of a seed.

    groups: a number for each image; the images of a batch have the same number. Each image comes once per epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    waiting: dict[int, list[int]] = {}
    step = 0
    while step < steps:
        for index in torch.randperm(len(groups), generator=generator).tolist():
            group = waiting.setdefault(groups[index], [])
            group.append(index)
            if len(group) == batch:
                if first <= step < steps:
                    yield BatchPlan(tuple(group), seed, step)
                step += 1
                group.clear()


def evaluation_plans(groups: Sequence[int], batch: int) -> list[BatchPlan]:
    """Return the plans of one pass over all images, in their order within each group."""
    plans = []
    for group in sorted(set(groups)):
        members = [index for index, other in enumerate(groups) if other == group]
        plans += [BatchPlan(tuple(members[start : start + batch])) for start in range(0, len(members), batch)]
    return plans
