"""The batches of a split: loaded in this process, or ahead of time in separate processes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from workers.data.base import DataSet, open_data
from workers.errors import LabelFailure, LoaderLostFailure
from workers.loading.plans import BatchPlan, evaluation_plans, training_plans
from workers.loading.reader import ExampleReader, ExampleSource, LoadedBatch, pack_batch
from workers.messages.recipe import Recipe
from workers.targets.example import Example, pack
from workers.targets.frame import Size
from workers.targets.view import View
from workers.tasks.base import Task

log = logging.getLogger(__name__)

_AHEAD = 4  # batches that each process loads ahead


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and their target.

    images: (N, 3, H, W) uint8. contents: (height, width) of each image without padding. share: of the images of a step.
    """

    images: Tensor
    target: Any
    contents: tuple[Size, ...]
    share: float = 1.0


class ImageSplit:
    """One split of a data set for one task, as a recipe resizes and augments it."""

    def __init__(self, reader: ExampleReader, processes: int = 0, device: torch.device | str = "cpu") -> None:
        """processes: number that load training and evaluation batches; 0 loads them in the calling thread.

        device: where batches are needed. On a GPU, pixels are resized and mirrored there.
        """
        self.reader, self._device = reader, torch.device(device)
        self._processes = LoaderProcesses(reader, processes, self._device) if processes else None

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def task(self) -> Task:
        """The task of the examples."""
        return self.reader.task

    def batch(self, indices: Iterable[int]) -> Batch:
        """Return the whole images of some examples, without augmentation."""
        return self._load(BatchPlan(tuple(indices)))

    def training(
        self, steps: int, seed: int, first: int = 0, parts: int = 1, only: int | None = None
    ) -> Iterator[list[Batch]]:
        """Yield the batches of the steps from `first` to `steps` - 1, each in `parts` parts.

        only: yield that part alone, as one of several workers that share a batch.
        """
        plans = training_plans(self.reader.groups, self.reader.source.recipe.batch, steps, seed, first)
        divided = (plan.parts(parts) if only is None else plan.parts(parts)[only : only + 1] for plan in plans)
        for step in self._grouped(divided):
            count = sum(len(batch.images) for batch in step)
            yield [Batch(b.images, b.target, b.contents, len(b.images) / count) for b in step]

    def evaluation(self, size: int) -> Iterator[Batch]:
        """Yield all examples once in batches of up to `size`."""
        for step in self._grouped([plan] for plan in evaluation_plans(self.reader.groups, size)):
            yield from step

    def _grouped(self, steps: Iterable[list[BatchPlan]]) -> Iterator[list[Batch]]:
        if self._processes is None:
            yield from ([self._load(plan) for plan in plans] for plans in steps)
            return
        lengths: list[int] = []

        def flat() -> Iterator[BatchPlan]:
            for plans in steps:
                lengths.append(len(plans))
                yield from plans

        loaded = self._processes.load(flat())
        done = 0
        for first in loaded:
            step = [first, *(next(loaded) for _ in range(lengths[done] - 1))]
            lengths[done], done = 0, done + 1
            yield [self._finish(part.examples.unpack(self._device), part.views, pixels=part.pixels) for part in step]

    def _load(self, plan: BatchPlan) -> Batch:
        examples, views = self.reader.load(plan)
        if self._device.type != "cpu":
            examples = pack(examples).unpack(self._device)
        return self._finish(examples, views, pixels=False)

    def _finish(self, examples: Sequence[Example], views: Sequence[View], *, pixels: bool) -> Batch:
        """Make the batch. pixels: whether they have followed the views already."""
        if not pixels:
            examples = [view.apply_to_pixels(example) for example, view in zip(examples, views, strict=True)]
        # Decoders write the colours of a pixel next to each other. Stacked like that, the batch is channels-last.
        images = torch.stack([example["image"].permute(1, 2, 0) for example in examples]).permute(0, 3, 1, 2)
        self._fill_padding(images, views)
        return Batch(images, self.task.collate(examples, views), tuple(view.content for view in views))

    def _fill_padding(self, images: Tensor, views: Sequence[View]) -> None:
        """Give padding the mean colour, which normalisation makes zero."""
        mean = self.reader.source.recipe.pixel_mean
        if mean is None:  # as recipes without it always did
            return
        colour = torch.tensor(mean, device=images.device).round().to(images.dtype)[:, None, None]
        for image, view in zip(images, views, strict=True):
            height, width = view.content
            image[:, height:] = colour
            image[:, :, width:] = colour


class SplitCache:
    """The data set of a worker's labels, opened once."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[DataSet, ImageSplit, ImageSplit]] = {}

    def open(
        self, spec: str, task: Task, recipe: Recipe, fingerprint: str = "", device: torch.device | str = "cpu"
    ) -> tuple[DataSet, ImageSplit, ImageSplit]:
        """Return data set, training split and held-out split as the recipe resizes, augments and limits them.

        fingerprint: of the data set's content. With it, decoded images are kept on this machine's disk. On a GPU all
        reserved cores but one load batches; on a CPU training needs them itself.
        """
        loading = recipe.model_dump_json(exclude={"steps", "lr", "head", "body"})
        name = f"{spec} {task.name} {fingerprint} {device} {loading}"
        if name not in self._opened:
            data = open_data(spec, task.name)
            processes = 0 if torch.device(device).type == "cpu" else max(0, int(recipe.cpus) - 1)
            splits = []
            for training, limit in ((True, recipe.train_images), (False, recipe.eval_images)):
                source = ExampleSource(spec, task.name, recipe, training, fingerprint, limit)
                splits.append(ImageSplit(ExampleReader(source, data), processes, device))
            self._opened = {name: (data, splits[0], splits[1])}  # a campaign needs one at a time
        return self._opened[name]


class LoaderProcesses:
    """Processes that load batches ahead. They start with the first batch and serve all later trainings."""

    def __init__(self, reader: ExampleReader, count: int, device: torch.device) -> None:
        self._batches, self._plans = _Batches(reader, pixels=device.type == "cpu"), _Plans()
        self._count, self._pin = count, device.type == "cuda"
        self._loader = self._start()

    def load(self, plans: Iterator[BatchPlan]) -> Iterator[LoadedBatch]:
        """Yield the batches of `plans` in their order.

        Raises the LabelFailure of an image that cannot be read, and LoaderLostFailure if a process died; the next
        batches are then loaded by new ones.
        """
        self._plans.plans = plans
        try:
            for loaded in self._loader:
                if isinstance(loaded, LabelFailure):
                    raise loaded
                yield loaded
        except (RuntimeError, OSError, EOFError) as error:
            # A batch that a dead process was about to hand over raises an error of its connection.
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            self._loader = self._start()
            text = " ".join(str(error).split())[:300]
            raise LoaderLostFailure(f"a process that loads images died ({text}): check memory and /dev/shm") from None

    def _start(self) -> DataLoader[LoadedBatch | LabelFailure]:
        return DataLoader(
            self._batches,
            batch_size=None,
            sampler=self._plans,
            num_workers=self._count,
            prefetch_factor=_AHEAD,
            persistent_workers=True,
            pin_memory=self._pin,
            # A fork of a worker would copy Ray's and torch's threads in whatever state they are.
            multiprocessing_context="forkserver",
        )


class _Plans(Sampler[BatchPlan]):
    """The plans to load next."""

    def __init__(self) -> None:
        self.plans: Iterator[BatchPlan] = iter(())

    def __iter__(self) -> Iterator[BatchPlan]:
        return self.plans


class _Batches(Dataset[LoadedBatch | LabelFailure]):
    """What a loader process runs: a plan in, a packed batch or the reason of its failure out."""

    def __init__(self, reader: ExampleReader, *, pixels: bool) -> None:
        self._reader, self._pixels = reader, pixels

    def __getitem__(self, plan: BatchPlan) -> LoadedBatch | LabelFailure:
        try:
            return pack_batch(self._reader, plan, pixels=self._pixels)
        except LabelFailure as failure:  # as a value: raised, it would come with a traceback in its text
            return failure
