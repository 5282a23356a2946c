"""Semantic segmentation: the flip test, and the settings of the head."""

from __future__ import annotations

import pytest
import torch

from workers.data import VOID, Vocabulary
from workers.errors import RecipeError
from workers.tasks import get_task
from workers.tasks.semantic_fpn import SemanticFPN

TASK = get_task("seg")
WORDS = Vocabulary(("grass", "sky", "sea"), 0)


def build(**settings: object) -> SemanticFPN:
    head = TASK.build_head((8, 8), (4, 8), WORDS, {"width": 8, **settings})
    assert isinstance(head, SemanticFPN)
    return head


def test_flip_test_averages_with_the_flipped_image() -> None:
    head, target = build(flip_test=True), torch.zeros(2, 32, 48, dtype=torch.uint8)
    plain, flipped = torch.randn(2, 3, 8, 12), torch.randn(2, 3, 8, 12)
    head.forward = lambda _: torch.cat([plain, flipped.flip(-1)])  # type: ignore[method-assign]
    predicted = TASK.predict(head, [], target)
    assert torch.allclose(predicted, (plain.softmax(1) + flipped.softmax(1)) / 2)
    assert torch.allclose(predicted.sum(1), torch.ones(2, 8, 12))
    head.forward = lambda _: plain  # type: ignore[method-assign]
    with pytest.raises(RecipeError, match="flipped images"):
        TASK.predict(head, [], target)


def test_images_are_flipped_only_with_the_flip_test() -> None:
    images = torch.randint(0, 256, (2, 3, 32, 48), dtype=torch.uint8)
    assert TASK.evaluation_images(build(), images) is images
    assert torch.equal(TASK.evaluation_images(build(flip_test=True), images)[2:], images.flip(-1))


@pytest.mark.parametrize("settings", [{"width": 12}, {"width": "wide"}, {"flip_test": 1}, {"depth": 3}])
def test_wrong_settings_are_refused_in_one_line(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"^[^\n]+$"):
        build(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"neck": -1},
        {"neck": 1.5},
        {"norm": "layer"},
        {"dropout": 1.0},
        {"auxiliary_weight": "x"},
        {"full_size_loss": 1},
        {"init": "he"},
    ],
)
def test_wrong_settings_of_published_heads_are_refused_in_one_line(settings: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"^head [^\n]+$"):
        build(**settings)


def pyramid() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 8, 32 // stride, 48 // stride) for stride in (4, 8, 16)]


def test_a_neck_batch_norms_and_an_auxiliary_head() -> None:
    settings = {"width": 8, "neck": 16, "norm": "batch", "dropout": 0.1, "auxiliary_weight": 0.4}
    head = TASK.build_head((8, 8, 8), (4, 8, 16), WORDS, settings)
    plain = TASK.build_head((8, 8, 8), (4, 8, 16), WORDS, settings | {"auxiliary_weight": 0.0})
    plain.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("auxiliary")})
    target = torch.randint(0, 3, (2, 32, 48), dtype=torch.uint8)
    assert isinstance(head, SemanticFPN)
    assert head.auxiliary is not None
    head.eval()
    plain.eval()
    assert head(pyramid()).shape == (2, 3, 8, 12)
    extra = TASK.loss_from_logits(head.auxiliary(pyramid()), target)
    expected = TASK.loss(plain, pyramid(), target) + 0.4 * extra
    assert torch.allclose(TASK.loss(head, pyramid(), target), expected)


def test_the_full_size_loss_is_the_mean_over_all_pixels() -> None:
    head = TASK.build_head((8, 8, 8), (4, 8, 16), WORDS, {"width": 8, "full_size_loss": True})
    target = torch.randint(0, 3, (2, 32, 48), dtype=torch.uint8)
    logits = torch.nn.functional.interpolate(head(pyramid()), size=(32, 48), mode="bilinear")
    whole = torch.nn.functional.cross_entropy(logits, target.long())
    assert torch.allclose(TASK.loss(head, pyramid(), target), whole)
    target[1] = VOID
    first = torch.nn.functional.cross_entropy(logits[:1], target[:1].long())
    assert torch.allclose(TASK.loss(head, pyramid(), target), first / 2)
