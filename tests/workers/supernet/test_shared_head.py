"""One head for all backbones: it learns, is repeatable, changes no backbone, and fits narrower pyramids."""

from typing import Any

import pytest
import torch

from tests.support.splits import image_split
from workers.data import open_data
from workers.messages.shared_recipe import HeadRecipe
from workers.spaces import get_space
from workers.spaces.shared_weights import SharedWeights
from workers.supernet.backbones import SharedBackbones, build_without_head
from workers.supernet.latent import BackboneSwapping, FeatureSource, LatentSampling
from workers.supernet.shared_head import copy_shared_head, train_head, widest_pyramid
from workers.supernet.strata import DepthStrata
from workers.tasks import get_task
from workers.training.full import initialise

SETTINGS: dict[str, Any] = {"channels": [8, 8, 8, 8], "reduction": "pool"}
SPACE, SEG = get_space("nasbench201"), get_task("seg")
SPEC = "shapes:train=24,held_out=6"
DATA = open_data(SPEC, "seg")
RECIPE = HeadRecipe(name="tiny", task="seg", input_size=(64, 64), steps=20, batch=8, ema=0.8, lr=1e-2)


@pytest.fixture(scope="module")
def backbones() -> SharedBackbones:
    torch.set_num_threads(1)
    networks = [
        (architecture, build_without_head(architecture, SETTINGS)) for architecture in SPACE.covering_architectures()
    ]
    for _, network in networks:
        initialise(network, 0)
    images = image_split(SPEC, "seg", (64, 64))
    return SharedBackbones(SharedWeights(SPACE, networks), SETTINGS, images, range(8), 4, torch.channels_last)


def source(kind: str, backbones: SharedBackbones) -> FeatureSource:
    strata = DepthStrata(SPACE, 2, 0, SETTINGS)
    return (
        LatentSampling(strata, backbones, per_stratum=1) if kind == "latent" else BackboneSwapping(strata, backbones, 3)
    )


@pytest.mark.parametrize("kind", ["latent", "swapping"])
def test_a_head_learns_and_is_repeatable(kind: str, backbones: SharedBackbones) -> None:
    ends, losses = [], list[float]()
    for _ in range(2):
        data = image_split(SPEC, "seg", (64, 64), batch=RECIPE.batch)
        torch.manual_seed(0)
        head = SEG.build_head(*widest_pyramid(SPACE, SETTINGS), DATA.vocabulary("seg"), {"width": 8})
        losses.clear()
        trained = train_head(head, source(kind, backbones), data, RECIPE, lambda _, loss: losses.append(loss))
        ends.append(trained.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_backbones_are_frozen_and_calibrated(backbones: SharedBackbones) -> None:
    backbone = backbones(SPACE.covering_architectures()[1])
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone.training
    norms = [m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(int(norm.num_batches_tracked) == 2 for norm in norms if norm.num_batches_tracked is not None)


def test_a_head_for_a_narrower_pyramid_has_the_first_channels() -> None:
    wide, narrow = (SEG.build_head((c, c), (4, 8), DATA.vocabulary("seg"), {"width": 8}) for c in (12, 8))
    weight = copy_shared_head(narrow, wide).get_parameter("laterals.0.weight")
    assert torch.equal(weight, wide.get_parameter("laterals.0.weight")[:, :8])


def test_the_widest_pyramid_of_a_space() -> None:
    channels, strides = widest_pyramid(get_space("mobilenetv3"))
    assert (channels, strides) == ((24, 40, 112, 160), (4, 8, 16, 32))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_of_the_recipe_holds_for_backbones_and_head(precision: str, backbones: SharedBackbones) -> None:
    autocast = list[bool]()

    class Watched:
        def __init__(self) -> None:
            self._source = source("latent", backbones)

        def pyramid(self, images: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
            autocast.append(torch.is_autocast_enabled("cpu"))
            return self._source.pyramid(images, generator)

        def skip(self, batches: int) -> None: ...

    data = image_split(SPEC, "seg", (64, 64), batch=RECIPE.batch)
    head = SEG.build_head(*widest_pyramid(SPACE, SETTINGS), DATA.vocabulary("seg"), {"width": 8})
    head.register_forward_hook(lambda *_: autocast.append(torch.is_autocast_enabled("cpu")))
    recipe = RECIPE.model_copy(update={"precision": precision, "steps": 1, "ema": 0.0})
    train_head(head, Watched(), data, recipe)
    assert autocast == [precision == "bfloat16"] * 2


class _Narrow:
    """A pool without the widest backbone."""

    def pyramid(self, images: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
        return [torch.ones(len(images), 3, 16, 16), torch.ones(len(images), 5, 8, 8)]

    def skip(self, batches: int) -> None:
        pass


def test_channels_that_no_backbone_has_are_zero() -> None:
    task = get_task("seg")
    data = image_split("shapes:train=12,held_out=6", "seg", (64, 64), batch=RECIPE.batch)
    head = task.build_head((4, 8), (4, 8), data.reader.data.vocabulary("seg"), {"width": 8})
    recipe = RECIPE.model_copy(update={"steps": 1, "ema": 0, "weight_decay": 0.0})
    before = [lateral.weight.detach().clone() for lateral in head.laterals]
    train_head(head, _Narrow(), data, recipe, channels=(4, 8))
    for lateral, old, width in zip(head.laterals, before, (3, 5), strict=True):
        assert torch.equal(lateral.weight[:, width:], old[:, width:])  # nothing to learn from
        assert not torch.equal(lateral.weight[:, :width], old[:, :width])
