"""Shared weights and shared heads as artifacts: made once, resumed after a crash, loaded by all who need them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from workers.data.base import Vocabulary
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import HeadRecipe, SharedRecipe, SupernetRecipe
from workers.spaces import get_space
from workers.storage.artifacts import ArtifactFolder
from workers.supernet.backbones import SharedBackbones, bare_network
from workers.supernet.checkpoint import newest_checkpoint, save_checkpoint
from workers.supernet.latent import BackboneSwapping, FeatureSource, LatentSampling
from workers.supernet.once_for_all import load_published
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.sandwich import Supernet
from workers.supernet.shared_head import train_head, widest_levels
from workers.supernet.strata import DepthStrata
from workers.supernet.weights import SharedWeights
from workers.tasks import Task, get_task
from workers.tasks.base import LogitTask
from workers.training.full import device_of, evaluation_batch, initialise, memory_format
from workers.training.loading import CachedSplit, SplitCache

_WEIGHTS = "weights.safetensors"


ProgressCallback = Callable[[PreparationStep], None]
TrainWeights = Callable[[Path, ProgressCallback], None]


@dataclass(frozen=True, slots=True)
class SharedStart:
    """What the networks of one space and task start from. head: for the widest pyramid; None where none is shared."""

    bodies: SharedBackbones
    head: nn.Module | None


class Preparation:
    """The artifacts that a label starts from; labels of one space, task, data set and recipe have the same."""

    def __init__(self, artifacts: ArtifactFolder, request: LabelRequest, recipe: SharedRecipe) -> None:
        """recipe: that of the request."""
        self._artifacts, self._recipe = artifacts, recipe
        space, task, fingerprint = request.architecture.space, request.task, request.fingerprint
        self._space, self._task, self._data = space, task, request.data
        weights = recipe.supernet
        self.supernet = f"supernet-{space}-{_digest(space, recipe.supernet_fingerprint, weights.hash)}"
        identity = (task, fingerprint, self.supernet, recipe.shared_head.hash)
        self.head = None if recipe.shared_head.method == "none" else f"head-{space}-{task}-{_digest(*identity)}"

    @property
    def missing(self) -> list[str]:
        """Names of what is not there yet."""
        return [name for name in (self.supernet, self.head) if name is not None and name not in self._artifacts]

    def make(self, report: ProgressCallback = lambda step: None, train: TrainWeights | None = None) -> None:
        """Make what is missing. Where another process is at it, wait for that.

        train: trains the shared weights in place of `train_weights`; needed where the recipe has several workers.

        Raises DivergedFailure when a loss is no longer finite, ArtifactError for what was damaged.
        """
        self._artifacts.get(self.supernet, lambda folder: self._make_supernet(folder, report, train))
        if self.head is not None:
            self._artifacts.get(self.head, lambda folder: self._make_head(folder, report))

    def load(self, train: CachedSplit, vocabulary: Vocabulary) -> SharedStart:
        """What was made. train: images of the task, which batch norms are measured on.

        Raises ArtifactError where something is missing or damaged.
        """
        bodies = self._bodies(train, device_of(self._recipe), self._recipe.calibration_images)
        if self.head is None:
            return SharedStart(bodies, None)
        head = self._widest_head(get_task(self._task), vocabulary)
        head.load_state_dict(load_file(self._artifacts.find(self.head) / _WEIGHTS))
        return SharedStart(bodies, head)

    def train_weights(self, folder: Path, report: ProgressCallback, rank: int = 0) -> None:
        """Train the shared weights to the end, from the newest checkpoint in `folder`; worker 0 leaves them there.

        Raises DivergedFailure when the loss is no longer finite.
        """
        recipe: SupernetRecipe = self._recipe.supernet
        task = get_task(recipe.task)
        assert isinstance(task, LogitTask)  # the recipe was checked
        assert recipe.data is not None  # the plan fills it in
        opened, train, _ = SplitCache().open(recipe.data, task, recipe)
        supernet = Supernet(get_space(self._space), task, opened.vocabulary(task.name), recipe, rank)
        found = newest_checkpoint(folder)
        if found is not None:
            supernet.load(found)
        for step, loss in supernet.train(train):
            if rank == 0:
                report(PreparationStep("shared weights", step, recipe.steps, loss))
                if step % recipe.save_every == 0 and step < recipe.steps:
                    save_checkpoint(folder, step, supernet.state())
        if rank == 0:
            _save(supernet.averaged, folder)

    def _make_supernet(self, folder: Path, report: ProgressCallback, train: TrainWeights | None) -> None:
        recipe: SupernetRecipe = self._recipe.supernet
        if recipe.pretrained is not None:
            shared = self._shared_weights()
            load_published(Path(recipe.pretrained), get_space(self._space), shared)
            _save(shared, folder)
            return
        (train or self.train_weights)(folder, report)
        for checkpoint in folder.glob("step-*"):
            checkpoint.unlink()

    def _make_head(self, folder: Path, report: ProgressCallback) -> None:
        recipe: HeadRecipe = self._recipe.shared_head
        task = get_task(self._task)
        opened, train, _ = SplitCache().open(self._data, task, recipe)
        head = self._widest_head(task, opened.vocabulary(task.name))
        initialise(head, recipe.seed)
        head = head.to(device_of(recipe))
        trained = train_head(
            head,
            self._source(train),
            task,
            train,
            recipe,
            lambda step, loss: report(PreparationStep("shared head", step, recipe.steps, loss)),
        )
        _save(trained, folder)

    def _source(self, train: CachedSplit) -> FeatureSource:
        recipe = self._recipe.shared_head
        bodies = self._bodies(train, device_of(recipe), recipe.calibration_images)
        strata = DepthStrata(get_space(self._space), recipe.strata, recipe.seed, recipe.body)
        if recipe.method == "swapping":
            return BackboneSwapping(strata, bodies, recipe.swap_every)
        return LatentSampling(strata, bodies, recipe.per_stratum)

    def _bodies(self, train: CachedSplit, device: torch.device, images: int) -> SharedBackbones:
        shared = self._shared_weights()
        shared.restore(load_file(self._artifacts.find(self.supernet) / _WEIGHTS))  # all but the teacher's head
        first = list(range(min(images, len(train))))
        layout = memory_format(self._recipe, device)
        return SharedBackbones(
            shared.to(device), self._recipe.body, train, first, evaluation_batch(self._recipe), layout
        )

    def _shared_weights(self) -> SharedWeights:
        """Those of bodies alone, as they happen to be initialised."""
        space = get_space(self._space)
        return SharedWeights(space, [(a, bare_network(a, self._recipe.body)) for a in space.covering()])

    def _widest_head(self, task: Task, vocabulary: Vocabulary) -> nn.Module:
        channels, strides = widest_levels(get_space(self._space), self._recipe.body)
        return task.build_head(channels, strides, vocabulary, self._recipe.head)


def _save(module: nn.Module, folder: Path) -> None:
    with torch.no_grad():
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
