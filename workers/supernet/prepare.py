"""Shared weights and shared heads as artifacts: trained once, resumed after a crash, loaded by every worker."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from workers.data.base import Vocabulary
from workers.loading.batches import ImageSplit, SplitCache
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import HeadRecipe, SharedRecipe, SupernetRecipe
from workers.spaces import get_space
from workers.spaces.once_for_all import load_published
from workers.spaces.shared_weights import SharedWeights
from workers.storage.artifacts import ArtifactFolder
from workers.storage.checkpoints import Checkpoint
from workers.supernet.backbones import SharedBackbones, build_without_head
from workers.supernet.latent import BackboneSwapping, FeatureSource, LatentSampling
from workers.supernet.preparation_step import PreparationStep
from workers.supernet.sandwich import Supernet
from workers.supernet.shared_head import train_head, widest_pyramid
from workers.supernet.shipped import shipped_artifact
from workers.supernet.strata import DepthStrata
from workers.tasks import Task, get_task
from workers.tasks.base import LogitTask
from workers.training.full import device_of, evaluation_batch_size, initialise, memory_format
from workers.training.normalisation import Normalisation
from workers.training.resumption import Resumption

_WEIGHTS = "weights.safetensors"

ProgressCallback = Callable[[PreparationStep], None]
TrainWeights = Callable[[Path, ProgressCallback], None]


@dataclass(frozen=True, slots=True)
class PreparedWeights:
    """The initial weights for networks of one space and task.

    head: for the widest pyramid; None if the recipe shares no head.
    """

    backbones: SharedBackbones
    head: nn.Module | None


class Preparation:
    """The artifacts that a label needs. Labels of one space, task, data set and recipe share them.

    supernet_name, head_name: names of the artifacts; head_name is None if the recipe shares no head.
    """

    def __init__(self, artifacts: ArtifactFolder, request: LabelRequest, recipe: SharedRecipe) -> None:
        """recipe: the request's recipe."""
        self._artifacts, self._recipe = artifacts, recipe
        space, task, fingerprint = request.architecture.space, request.task, request.fingerprint
        self._space, self._task, self._data, self._fingerprint = space, task, request.data, fingerprint
        weights = recipe.supernet
        self.supernet_name = f"supernet-{space}-{_digest(space, recipe.supernet_fingerprint, weights.hash)}"
        identity = (task, fingerprint, self.supernet_name, recipe.shared_head.hash)
        self.head_name = None if recipe.shared_head.method == "none" else f"head-{space}-{task}-{_digest(*identity)}"

    @property
    def missing(self) -> list[str]:
        """Names of the artifacts that are missing."""
        names = [self.supernet_name] if self.head_name is None else [self.supernet_name, self.head_name]
        return [name for name in names if name not in self._artifacts]

    def add_shipped(self) -> list[str]:
        """Add those missing artifacts that come with the package; return their names.

        Raises ArtifactError if one was changed.
        """
        found = {name: folder for name in self.missing if (folder := shipped_artifact(name)) is not None}
        for name, folder in found.items():
            self._artifacts.add(name, folder)
        return list(found)

    def make(self, report: ProgressCallback = lambda step: None) -> None:
        """Make the missing artifacts, from their checkpoints. If another process is making one, wait for it.

        report: is called after training steps.

        Raises DivergedFailure if a loss is not finite, ArtifactError for a damaged artifact.
        """
        self.make_weights(report)
        if self.head_name is not None:
            self._artifacts.get(self.head_name, lambda folder: self._make_head(folder, report))

    def make_weights(self, report: ProgressCallback, train: TrainWeights | None = None) -> None:
        """Make the shared weights alone, as `make` does.

        train: trains them instead of `train_weights`; needed if the recipe has several workers.
        """
        self._artifacts.get(self.supernet_name, lambda folder: self._make_supernet(folder, report, train))

    def load(self, train: ImageSplit, vocabulary: Vocabulary) -> PreparedWeights:
        """Load the artifacts. train: images of the task, on which batch norms are calibrated.

        Raises ArtifactError if an artifact is missing or damaged.
        """
        backbones = self._backbones(train, self._recipe)
        if self.head_name is None:
            return PreparedWeights(backbones, None)
        head = self._widest_head(get_task(self._task), vocabulary)
        head.load_state_dict(load_file(self._artifacts.find(self.head_name) / _WEIGHTS))
        return PreparedWeights(backbones, head)

    def train_weights(self, folder: Path, report: ProgressCallback, rank: int = 0) -> None:
        """Train the shared weights, from their checkpoint if there is one. Worker 0 saves them in `folder`.

        Raises DivergedFailure if the loss is not finite.
        """
        recipe = self._recipe.supernet
        task = get_task(recipe.task)
        assert isinstance(task, LogitTask)  # checked when the campaign was planned
        assert recipe.data is not None  # set when the campaign was planned
        fingerprint, device = self._recipe.supernet_fingerprint, device_of(recipe)
        data, train, _ = SplitCache().open(recipe.data, task, recipe, fingerprint, device)
        recipe = recipe.in_steps(len(train))
        supernet = Supernet(get_space(self._space), task, data.vocabulary(task.name), recipe, rank)
        checkpoints = self._artifacts.checkpoints
        checkpoint = checkpoints.load(self.supernet_name)
        if checkpoint is not None:
            supernet.load(checkpoint.tensors)
        for step, loss in supernet.train(train):
            if rank == 0:
                report(PreparationStep("shared weights", step, recipe.steps, loss))
                if step % recipe.save_every == 0 and step < recipe.steps:
                    checkpoints.save(self.supernet_name, Checkpoint(supernet.state()))
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
        self._artifacts.checkpoints.remove(self.supernet_name)

    def _make_head(self, folder: Path, report: ProgressCallback) -> None:
        recipe = self._recipe.shared_head
        task = get_task(self._task)
        device = device_of(recipe)
        data, train, _ = SplitCache().open(self._data, task, recipe, self._fingerprint, device)
        recipe = recipe.in_steps(len(train))
        head = self._widest_head(task, data.vocabulary(task.name))
        initialise(head, recipe.seed)
        head = head.to(device)
        trained = train_head(
            head,
            self._feature_source(train),
            train,
            recipe,
            lambda step, loss: report(PreparationStep("shared head", step, recipe.steps, loss)),
            Resumption(self._artifacts.checkpoints, str(self.head_name), recipe.checkpoint_s),
            self._widest_pyramid[0],
        )
        _save(trained, folder)
        self._artifacts.checkpoints.remove(str(self.head_name))

    def _feature_source(self, train: ImageSplit) -> FeatureSource:
        recipe = self._recipe.shared_head
        backbones = self._backbones(train, recipe)
        strata = DepthStrata(get_space(self._space), recipe.strata, recipe.seed, recipe.body)
        if recipe.method == "swapping":
            return BackboneSwapping(strata, backbones, recipe.swap_every)
        return LatentSampling(strata, backbones, recipe.per_stratum, background=device_of(recipe).type == "cuda")

    def _backbones(self, train: ImageSplit, recipe: SharedRecipe | HeadRecipe) -> SharedBackbones:
        shared, device = self._shared_weights(), device_of(recipe)
        # The file also has the weights of the head that they were trained with; these are skipped.
        shared.restore(load_file(self._artifacts.find(self.supernet_name) / _WEIGHTS))
        return SharedBackbones(
            shared.to(device),
            recipe.body,
            train,
            range(min(recipe.calibration_images, len(train))),
            evaluation_batch_size(recipe),
            memory_format(recipe, device),
            Normalisation.of(recipe),
            recipe.precision,
        )

    def _shared_weights(self) -> SharedWeights:
        """Shared weights of backbones alone, with arbitrary values."""
        space = get_space(self._space)
        return SharedWeights(
            space, [(a, build_without_head(a, self._recipe.body)) for a in space.covering_architectures()]
        )

    @cached_property
    def _widest_pyramid(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return widest_pyramid(get_space(self._space), self._recipe.body)

    def _widest_head(self, task: Task, vocabulary: Vocabulary) -> nn.Module:
        channels, strides = self._widest_pyramid
        return task.build_head(channels, strides, vocabulary, self._recipe.head)


def _save(module: nn.Module, folder: Path) -> None:
    with torch.no_grad():
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    save_file(tensors, folder / _WEIGHTS)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
