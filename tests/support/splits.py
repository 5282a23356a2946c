"""Small splits of data sets, as evaluators open them."""

from __future__ import annotations

from workers.loading.batches import ImageSplit
from workers.loading.reader import ExampleReader, ExampleSource
from workers.messages.recipe import Recipe


def image_split(
    spec: str, task: str, size: tuple[int, int], *, training: bool = True, limit: int | None = None, **fields: object
) -> ImageSplit:
    """Return the training or held-out split for inputs of a size, with further fields of the recipe."""
    recipe = Recipe.model_validate({"name": "t", "task": task, "input_size": size, "ema": 0} | fields)
    return ImageSplit(ExampleReader(ExampleSource(spec, task, recipe, training, limit=limit)))
