"""How uint8 images become the input of a backbone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

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
        """Return the normalisation of a recipe. backbone: has another one if its weights were trained with it."""
        mean, std = getattr(backbone, "pixel_mean", None), getattr(backbone, "pixel_std", None)
        if recipe.backbone_pixels and mean is not None and std is not None:
            return cls(mean, std)
        if recipe.pixel_mean is None or recipe.pixel_std is None:
            return cls()
        return cls(recipe.pixel_mean, recipe.pixel_std)

    def __call__(self, images: Tensor) -> Tensor:
        """Return float images of about zero mean and unit standard deviation."""
        pixels = images if images.is_floating_point() else images.float()  # half precision stays
        if len({*self.mean}) == len({*self.std}) == 1:
            return (pixels - self.mean[0]) / self.std[0]
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std
