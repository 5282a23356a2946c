"""Read examples of one split, through the caches, and make batches of them as planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from workers.data.base import DataSet, open_data
from workers.loading.augmentation import draw_view, draws, frame_of, whole_view
from workers.loading.node_cache import NodeCache
from workers.loading.plans import BatchPlan
from workers.messages.recipe import Recipe
from workers.targets.example import Example, PackedExamples, from_bytes, pack, to_bytes
from workers.targets.frame import Frame, Size
from workers.targets.view import View
from workers.tasks.base import ExampleRef, Task, get_task

_MEMORY_MB = 256  # decoded examples that a process keeps, besides those on the machine's disk
_TRAINING_SHARE = 0.8  # of the disk space for decoded examples


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """The examples of a batch, packed, and their views. pixels: whether pixels have followed the views already."""

    examples: PackedExamples
    views: tuple[View, ...]
    pixels: bool

    def pin_memory(self) -> LoadedBatch:
        """Return a copy in page-locked memory."""
        return LoadedBatch(self.examples.pin_memory(), self.views, self.pixels)


@dataclass(frozen=True)
class ExampleSource:
    """Which examples are read. It can be sent to another process, which opens the data set itself.

    data: as on the command line. fingerprint: of its content; without it nothing is kept on disk. training: the split
    `train` with training's annotations, else `held-out` with what metrics need. limit: number of examples to use.
    """

    data: str
    task_name: str
    recipe: Recipe
    training: bool
    fingerprint: str = ""
    limit: int | None = None

    @property
    def split(self) -> str:
        """The name of the split."""
        return "train" if self.training else "held-out"

    @property
    def content(self) -> str:
        """All that a cached example depends on, as text."""
        frame = frame_of(self.recipe, training=self.training, centred=get_task(self.task_name).centred)
        return f"{self.fingerprint} {self.task_name} {self.split} {frame}"


class ExampleReader:
    """Reads examples and draws their views. It can be sent to another process; caches and open files stay here."""

    def __init__(self, source: ExampleSource, data: DataSet | None = None, memory_mb: int = _MEMORY_MB) -> None:
        """data: the opened data set; it is opened when needed if None."""
        self.source, self._opened = source, data
        self._memory: dict[int, Example] = {}
        self._memory_mb, self._free = memory_mb, memory_mb * 2**20

    def __getstate__(self) -> tuple[ExampleSource, int]:
        return self.source, self._memory_mb

    def __setstate__(self, state: tuple[ExampleSource, int]) -> None:
        self.__init__(state[0], None, state[1])  # type: ignore[misc]

    @cached_property
    def data(self) -> DataSet:
        """The data set."""
        return self._opened or open_data(self.source.data, self.source.task_name)

    @cached_property
    def task(self) -> Task:
        """The task."""
        return get_task(self.source.task_name)

    @cached_property
    def refs(self) -> Sequence[ExampleRef]:
        """The examples of the split."""
        return self.task.list_examples(self.data, self.source.split)[: self.source.limit]

    @cached_property
    def groups(self) -> Sequence[int]:
        """For each example 1 if its image is upright and keeps its ratio, else 0: a batch has one kind."""
        if not self._frame.keep_ratio:
            return [0] * len(self.refs)
        sizes = (self.data.image_size(self.source.split, image) for image, _ in self.refs)
        return [int(height > width) for height, width in sizes]

    @cached_property
    def _frame(self) -> Frame:
        return frame_of(self.source.recipe, training=self.source.training, centred=self.task.centred)

    @cached_property
    def _disk(self) -> NodeCache | None:
        source = self.source
        if not source.fingerprint:
            return None
        share = _TRAINING_SHARE if source.training else 1 - _TRAINING_SHARE
        return NodeCache(source.content, len(self.refs), max(1, round(share * source.recipe.cache_mb)))

    def __len__(self) -> int:
        return len(self.refs)

    def read(self, index: int) -> Example:
        """Return an example as it is kept. Its tensors must not be changed."""
        example = self._memory.get(index)
        if example is None:
            example = self._read_disk(index)
            size = sum(value.nbytes for value in example.values())
            if size <= self._free:
                self._free -= size
                self._memory[index] = example
        return example

    def _read_disk(self, index: int) -> Example:
        disk = self._disk
        if disk is not None and (content := disk.get(index)) is not None:
            return from_bytes(content)
        ref = self.refs[index]
        sample = self.data.sample(self.source.split, ref[0])
        example = self.task.load_example(sample, ref, self._frame, training=self.source.training)
        if disk is not None:
            disk.put(index, to_bytes(example))
        return example

    def load(self, plan: BatchPlan) -> tuple[list[Example], list[View]]:
        """Return the examples of a batch, which have followed their views but for their pixels, and the views."""
        examples, views = [], []
        for index in plan.indices:
            example = self.read(index)
            view = self._view(plan, index, example)
            examples.append(self.task.settle(view.apply_to_coordinates(example), view))
            views.append(view)
        return examples, views

    def _view(self, plan: BatchPlan, index: int, example: Example) -> View:
        recipe, frame, kept = self.source.recipe, self._frame, (example["image"].shape[-2], example["image"].shape[-1])
        stored, upright, centred = _stored_size(example, kept), self.groups[index] == 1, self.task.centred
        if plan.step is None:
            return whole_view(frame, stored, kept, upright=upright, centred=centred)
        draw = draws(plan.seed, plan.step, index)
        crop = recipe.zoom < 1 and (recipe.zoom_below is None or len(self) < recipe.zoom_below)
        return draw_view(recipe, frame, stored, kept, draw, crop=crop, upright=upright, centred=centred)


def _stored_size(example: Example, kept: Size) -> Size:
    """Return the (height, width) of an example's stored image, which its place in the input is computed from."""
    if "stored" not in example:
        return kept
    height, width = example["stored"].tolist()
    return height, width


def pack_batch(reader: ExampleReader, plan: BatchPlan, *, pixels: bool) -> LoadedBatch:
    """Load a batch for another process or device. pixels: they follow their views here, not where they arrive."""
    examples, views = reader.load(plan)
    if pixels:
        examples = [view.apply_to_pixels(example) for example, view in zip(examples, views, strict=True)]
    return LoadedBatch(pack(examples), tuple(views), pixels)
