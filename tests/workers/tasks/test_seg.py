"""Semantic segmentation: the flip test, and the settings of the head."""

from __future__ import annotations

import pytest
import torch

from workers.data import Vocabulary
from workers.errors import RecipeError
from workers.tasks import get_task
from workers.tasks.seg import SemanticFPN

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
