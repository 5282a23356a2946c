"""How uint8 images become the input of a backbone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from workers.errors import RecipeError
from workers.messages.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Subtracts a mean from (N, 3, H, W) images, uint8 or float in 0..255, and divides by a deviation.

    mean, std: of red, green and blue. By default both are the same for all colours.
    """

    mean: tuple[float, float, float] = (118.0, 118.0, 118.0)
    std: tuple[float, float, float] = (60.0, 60.0, 60.0)

    @classmethod
    def of(cls, recipe: Recipe, backbone: nn.Module | None = None) -> Normalisation:
        """Return the normalisation of a recipe. backbone: its weights may have been trained with another one.

        Raises RecipeError if the recipe asks for the backbone's and the backbone names none.
        """
        if recipe.backbone_pixels:
            mean, std = getattr(backbone, "pixel_mean", None), getattr(backbone, "pixel_std", None)
            if mean is None or std is None:
                raise RecipeError(
                    f"recipe {recipe.name}: backbone_pixels: the weights of this space name no mean and deviation of "
                    "pixels: set pixel_mean and pixel_std instead"
                )
            return cls(mean, std)
        if recipe.pixel_mean is None or recipe.pixel_std is None:
            return cls()
        return cls(recipe.pixel_mean, recipe.pixel_std)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float images of about zero mean and unit standard deviation."""
        pixels = images.float()
        if len({*self.mean}) == len({*self.std}) == 1:
            return (pixels - self.mean[0]) / self.std[0]
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std
