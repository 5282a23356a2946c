"""Optimizers and normalisation of a recipe, and the parts of a backbone that are not trained."""

from typing import Any

import pytest
import torch
from torch import nn

from workers.errors import RecipeError
from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe
from workers.spaces import get_space
from workers.training.frozen_parts import freeze_stages, set_training_mode
from workers.training.normalisation import Normalisation
from workers.training.optimization import Optimization, build_optimizer

RESNET = Architecture.of("zoo", {"model": "resnet18"})


def recipe(**fields: Any) -> Recipe:
    return Recipe(name="r", task="seg", **({"ema": 0, "lr": 0.1, "clip_norm": None} | fields))


def one_step(parameter: torch.Tensor, grad: float, **fields: Any) -> float:
    module = nn.Module()
    module.weight = nn.Parameter(parameter.clone())
    optimization = Optimization(module, recipe(warmup_steps=0, schedule="constant", **fields))
    module.weight.grad = torch.full_like(module.weight, grad)
    optimization.step(0, torch.zeros(()))
    return float(module.weight.detach().mean())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"optimizer": "sgd", "weight_decay": 0.0}, 1 - 0.1 * 2),
        ({"optimizer": "sgd", "weight_decay": 0.5}, 1 - 0.1 * (2 + 0.5)),
        ({"optimizer": "adam", "weight_decay": 0.5}, 1 - 0.1),  # the penalty is part of the gradient
        ({"optimizer": "adamw", "weight_decay": 0.5}, 1 * (1 - 0.1 * 0.5) - 0.1),
        ({"optimizer": "sgd", "weight_decay": 0.0, "clip_norm": 1.0}, 1 - 0.1),
    ],
)
def test_the_first_step_of_each_optimizer(fields: dict[str, Any], expected: float) -> None:
    assert one_step(torch.ones(1), 2.0, **fields) == pytest.approx(expected, abs=1e-5)


def test_norms_and_biases_may_be_spared_from_decay() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    groups = build_optimizer(module, recipe(decay_norms=False, weight_decay=0.3)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.3, 2), (0.0, 4)]
    groups = build_optimizer(module, recipe(weight_decay=0.3)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.3, 6)]


def test_frozen_stages_are_those_up_to_a_level() -> None:
    backbone = get_space("zoo").build(RESNET)
    freeze_stages(backbone, 1)
    frozen = {name.split(".")[1] for name, p in backbone.named_parameters() if not p.requires_grad}
    trained = {name.split(".")[1] for name, p in backbone.named_parameters() if p.requires_grad}
    assert (frozen, trained) == ({"conv1", "bn1", "layer1"}, {"layer2", "layer3", "layer4"})
    with pytest.raises(RecipeError, match="frozen_stages 5: the backbone has 4 levels"):
        freeze_stages(backbone, 5)


@pytest.mark.parametrize(("norm", "moving"), [("running", {"layer2", "layer3", "layer4"}), ("frozen", set())])
def test_frozen_norms_keep_their_statistics(norm: str, moving: set[str]) -> None:
    backbone = get_space("zoo").build(RESNET)
    freeze_stages(backbone, 1)
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    set_training_mode(backbone, backbone, recipe(backbone_norm=norm))
    backbone(torch.rand(2, 3, 64, 64))
    changed = {name.split(".")[1] for name, value in backbone.named_buffers() if not torch.equal(value, before[name])}
    assert changed == moving


def test_images_are_normalised_by_the_recipe_or_the_backbone() -> None:
    image = torch.tensor([118, 178, 58], dtype=torch.uint8)[None, :, None, None]
    assert Normalisation.of(recipe())(image).flatten().tolist() == [0.0, 1.0, -1.0]
    fields = {"pixel_mean": (118.0, 58.0, 0.0), "pixel_std": (1.0, 60.0, 29.0)}
    assert Normalisation.of(recipe(**fields))(image).flatten().tolist() == [0.0, 2.0, 2.0]
    backbone = get_space("zoo").build(RESNET)
    fields["backbone_pixels"] = True
    assert Normalisation.of(recipe(**fields), backbone)(image).flatten().tolist() == [0.0, 2.0, 2.0]  # names none
    backbone.pixel_mean, backbone.pixel_std = (0.0, 0.0, 0.0), (118.0, 89.0, 29.0)
    assert Normalisation.of(recipe(**fields), backbone)(image).flatten().tolist() == [1.0, 2.0, 2.0]
