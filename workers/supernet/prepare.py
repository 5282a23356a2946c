"""A space's shared weights as an artifact: trained once, resumed after a crash, loaded by all labels that use them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from workers.artifacts import ArtifactFolder
from workers.data.loading import SplitCache
from workers.spaces import get_space
from workers.supernet.checkpoint import newest_checkpoint, save_checkpoint
from workers.supernet.recipe import SupernetRecipe
from workers.supernet.sandwich import Supernet
from workers.supernet.weights import SharedWeights
from workers.tasks import get_task

_WEIGHTS = "weights.safetensors"


def supernet_weights(
    artifacts: ArtifactFolder,
    space: str,
    data: str,
    recipe: SupernetRecipe,
    seed: int,
    report: Callable[[int, float], None] | None = None,
) -> SharedWeights:
    """The averaged weights of the space's bodies and classification heads, trained first where nobody has yet.

    data: FORMAT[:WHERE] with classes. report: is told the step and the loss of the largest network.
    """
    opened, train, _ = SplitCache().open(data, get_task(recipe.task), recipe)
    vocabulary = opened.vocabulary(recipe.task)
    identity = "\n".join((space, opened.fingerprint(), recipe.hash, str(seed)))
    name = f"supernet-{space}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    supernet = Supernet(get_space(space), get_task(recipe.task), vocabulary, recipe, seed)

    def make(folder: Path) -> None:
        found = newest_checkpoint(folder)
        if found is not None:
            supernet.load(found)
        for step in supernet.train(train, report):
            if step % recipe.save_every == 0 and step < recipe.steps:
                save_checkpoint(folder, step, supernet.state())
        tensors = {key: value.detach().contiguous() for key, value in supernet.averaged.state_dict().items()}
        save_file(tensors, folder / _WEIGHTS)
        for checkpoint in folder.glob("step-*"):
            checkpoint.unlink()

    path = artifacts.get(name, make)
    with torch.no_grad():
        supernet.averaged.load_state_dict(load_file(path / _WEIGHTS))
    return supernet.averaged
