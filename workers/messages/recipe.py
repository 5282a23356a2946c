"""A recipe: the named, versioned budget and hyper-parameters of a label."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Fields that decide a network as it is at the start of a training.
NETWORK_FIELDS = ("name", "task", "input_size", "head", "body", "pixel_mean", "pixel_std", "backbone_pixels")
# Hashes by type and content. Every label's key needs one, and a store of a million labels has few recipes.
_hashes: dict[tuple[type, str], str] = {}
_KEPT_HASHES = 4096
_MAX_TRAININGS = 4  # with a few images there would be dozens


class Recipe(BaseModel):
    """How a label is made.

    All fields except those in `_NOT_HASHED` are hashed into the label's key, so neither names nor defaults may change.
    Some names are older than the terms in the code: `body` is the backbone, `zoom` a random resized crop.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name. Name and version identify a recipe.")
    version: int = Field(default=1, ge=1, description="Version. Increases when a field of a published recipe changes.")
    task: str = Field(description="Task of the labels.")
    input_size: tuple[int, int] = Field(default=(96, 128), description="Height and width in pixels, multiples of 32.")
    steps: int = Field(default=360, ge=1, description="Optimizer steps.")
    epochs: float | None = Field(
        default=None, gt=0, description="Passes over the training images, instead of `steps`, which then has no effect."
    )
    batch: int = Field(default=16, ge=1, description="Images per optimizer step.")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(default="adamw", description="Optimizer.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum of SGD.")
    lr: float = Field(default=3e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, description="Weight decay; for Adam and SGD an L2 penalty.")
    decay_norms: bool = Field(
        default=True, description="Apply weight decay to biases and to the weights of normalisation layers too."
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Fraction of the steps with a rising learning rate.")
    warmup_steps: int | None = Field(
        default=None, ge=0, description="Number of steps with a rising learning rate, instead of `warmup`."
    )
    warmup_start: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Fraction of the scheduled learning rate at the first step; it rises linearly. If unset, 1 / the "
        "number of warm-up steps, and the schedule starts after the warm-up.",
    )
    schedule: Literal["cosine", "constant", "milestones", "poly"] = Field(
        default="cosine", description="Learning rate after the warm-up."
    )
    milestones: tuple[float, ...] = Field(
        default=(), description="Fractions of the steps after which `milestones` multiplies the learning rate by gamma."
    )
    gamma: float = Field(default=0.1, gt=0, lt=1, description="Factor of the learning rate at each milestone.")
    power: float = Field(default=0.9, gt=0, description="Power of the schedule `poly`.")
    final_lr: float = Field(
        default=0.0, ge=0, lt=1, description="Last learning rate of `cosine` and `poly`, as a fraction of the peak."
    )
    ema: float = Field(default=0.99, ge=0, lt=1, description="Decay of the averaged weights; 0 uses the last weights.")
    clip_norm: float | None = Field(default=5.0, gt=0, description="Maximum gradient norm; no limit if null.")
    backbone_norm: Literal["running", "frozen"] = Field(
        default="running",
        description="Batch norms of a pretrained backbone: running updates their statistics, frozen keeps them. Norms "
        "that start from nothing always update theirs.",
    )
    frozen_stages: int = Field(
        default=0,
        ge=0,
        description="Number of levels of the pyramid, finest first, up to which a pretrained backbone is not trained.",
    )
    pixel_mean: tuple[float, float, float] | None = Field(
        default=None, description="Mean of red, green and blue, from 0 to 255, that is subtracted; 118 if unset."
    )
    pixel_std: tuple[float, float, float] | None = Field(
        default=None, description="Deviation of red, green and blue that pixels are divided by; 60 if unset."
    )
    backbone_pixels: bool = Field(
        default=False,
        description="Of a pretrained backbone, use the mean and deviation that its weights were trained with instead.",
    )
    zoom: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Random resized crop: minimum side as a fraction. 1: whole images.",
    )
    zoom_below: int | None = Field(
        default=None, ge=1, description="Crop only if there are fewer training images than this; always if unset."
    )
    keep_ratio: bool = Field(
        default=False,
        description="Fit images into input_size with their aspect ratio and pad them; upright images into an upright "
        "input. Otherwise stretch them.",
    )
    cover: bool = Field(
        default=False,
        description="Scale training images with their aspect ratio until they cover input_size, and crop the rest.",
    )
    eval_crop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="With cover: evaluate the central crop of input_size, whose shorter side is this share of the "
        "image's. Whole images are evaluated if unset.",
    )
    eval_size: tuple[int, int] | None = Field(
        default=None, description="Height and width of the input in evaluation; input_size if unset."
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="Probability that an image is mirrored left to right.")
    scale_range: tuple[float, float] | None = Field(
        default=None,
        description="Random factor of the image's size in the input; what exceeds the input is cropped, what is "
        "missing is padded. For pose, of the crop around a person.",
    )
    crop_area: tuple[float, float] | None = Field(
        default=None, description="Random resized crop: its share of the image's area, as in [0.08, 1]."
    )
    crop_aspect: tuple[float, float] = Field(
        default=(0.75, 4 / 3), description="Random resized crop with crop_area: its width divided by its height."
    )
    rotation: float = Field(
        default=0.0, ge=0, le=180, description="Random rotation: at most so many degrees. For task pose."
    )
    colour_jitter: float = Field(
        default=0.0, ge=0, le=1, description="Strength of random brightness, contrast, saturation and hue; 0: none."
    )
    pipeline: int = Field(
        default=1,
        ge=1,
        description="Version of the code that loads and augments images. Never set it by hand: it is part of the key, "
        "so that labels made by older code keep theirs.",
    )
    passes: float | None = Field(
        default=None,
        gt=0,
        description="Maximum number of epochs, approximately. Further steps go to trainings with other seeds, whose "
        "metrics are averaged. No limit if unset.",
    )
    train_images: int | None = Field(default=None, ge=1, description="Number of training images; all if unset.")
    eval_images: int | None = Field(default=None, ge=1, description="Number of held-out images; all if unset.")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="Data type of autocast.")
    channels_last: bool = Field(default=True, description="Channels-last memory format, except for float32 on a GPU.")
    body: dict[str, Any] = Field(default_factory=dict, description="Settings of the backbone, defined by the space.")
    body_fingerprint: str = Field(
        default="",
        description="Fingerprint of the file that body.pretrained names; it replaces the path in the key. Never set it "
        "by hand.",
    )
    head: dict[str, Any] = Field(default_factory=dict, description="Settings of the head, defined by the task.")
    cpus: float = Field(default=1, gt=0, description="CPU cores per worker.")
    gpus: float = Field(default=0, ge=0, description="Fraction of a GPU per worker.")
    memory_mb: int = Field(default=0, ge=0, description="Memory reserved per worker; none is reserved if 0.")
    time_limit_s: float = Field(
        default=1800, gt=0, description="Maximum seconds of an attempt, which may be stopped earlier."
    )
    silence_s: float = Field(
        default=600, gt=0, description="Seconds without a step after which an attempt is given up."
    )
    checkpoint_s: float = Field(
        default=600, gt=0, description="Seconds between two checkpoints of a label in training."
    )
    cache_mb: int = Field(
        default=1024, ge=1, description="Disk of a machine, in MiB, for images that are decoded once for all workers."
    )

    # Where and how fast a label is made does not change its value.
    _NOT_HASHED: ClassVar[frozenset[str]] = frozenset(
        {"cpus", "gpus", "memory_mb", "time_limit_s", "silence_s", "checkpoint_s", "cache_mb"}
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for name in ("input_size", "eval_size"):
            size = getattr(self, name)
            if size is not None and any(side % 32 for side in size):
                raise ValueError(f"{name} {size} must be multiples of 32, the coarsest stride of a backbone")
        for name, highest in (("scale_range", math.inf), ("crop_area", 1.0), ("crop_aspect", math.inf)):
            bounds = getattr(self, name)
            if bounds is not None and not 0 < bounds[0] <= bounds[1] <= highest:
                raise ValueError(f"{name} {list(bounds)}: write two positive numbers, the lower one first")
        if sum((self.zoom < 1, self.scale_range is not None, self.crop_area is not None)) > 1:
            raise ValueError("zoom, scale_range and crop_area are three ways to crop: set one of them")
        if self.cover and self.keep_ratio:
            raise ValueError("cover crops what exceeds the input, keep_ratio pads what is missing: set one of them")
        if self.cover and self.zoom < 1:
            raise ValueError("zoom crops stretched images: with cover, set scale_range or crop_area instead")
        if self.eval_crop is not None and not (self.cover and self.task == "cls"):
            raise ValueError("eval_crop is for task cls and needs cover: set cover to true, or leave eval_crop out")
        if self.rotation and self.task != "pose":
            raise ValueError(f"rotation {self.rotation:g}: only task pose turns images: set it to 0")
        return self

    @model_validator(mode="after")
    def _optimization_fits(self) -> Self:
        if self.ema and self.steps * (1 - self.ema) < 1 and self.epochs is None:
            raise ValueError(
                f"ema {self.ema} is too slow for {self.steps} steps: lower ema or raise steps (ema: decay of the "
                "averaged weights; steps: number of optimizer steps)"
            )
        if (self.schedule == "milestones") != bool(self.milestones):
            raise ValueError("schedule milestones and the field milestones need each other: set both or none")
        if list(self.milestones) != sorted(self.milestones) or any(not 0 < m < 1 for m in self.milestones):
            raise ValueError(
                f"milestones {list(self.milestones)}: write rising fractions of the steps, as in [0.67, 0.9]"
            )
        if (self.pixel_mean is None) != (self.pixel_std is None):
            raise ValueError("pixel_mean and pixel_std need each other: set both or none")
        if self.pixel_std is not None and min(self.pixel_std) <= 0:
            raise ValueError(f"pixel_std {list(self.pixel_std)}: must be positive")
        return self

    def trainings(self, images: int) -> tuple[int, Self]:
        """Return the number of trainings of a label, and the recipe of each. Together they have `steps` steps.

        images: number of training images, from which `epochs` become steps.
        """
        recipe = self.in_steps(images)
        if recipe.passes is None:
            return 1, recipe
        max_steps = max(1.0, recipe.passes * images / recipe.batch)
        count = min(_MAX_TRAININGS, max(1, round(recipe.steps / max_steps)))
        return count, recipe.model_copy(update={"steps": recipe.steps // count})

    def in_steps(self, images: int) -> Self:
        """Return the recipe with `epochs` as steps. images: number of training images."""
        if self.epochs is None:
            return self
        return self.model_copy(update={"epochs": None, "steps": max(1, round(self.epochs * images / self.batch))})

    @property
    def resources(self) -> dict[str, float]:
        """The resources that a worker reserves, under Ray's names. Zero amounts are left out."""
        needs = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_mb * 2.0**20}
        return {kind: needed for kind, needed in needs.items() if needed}

    @property
    def hash(self) -> str:
        """A hash of everything that can change a label, as 16 hexadecimal digits.

        Fields with their default value are left out, so a new field does not change the keys of older labels. Hence a
        default never changes, and the default of a new field must mean what was done before.
        """
        known = type(self), self.model_dump_json()
        if known not in _hashes:
            if len(_hashes) == _KEPT_HASHES:
                _hashes.clear()
            _hashes[known] = self._computed_hash()
        return _hashes[known]

    def _computed_hash(self) -> str:
        parts = {name: part.hash for name in type(self).model_fields if isinstance(part := getattr(self, name), Recipe)}
        left_out = set(self._NOT_HASHED) | parts.keys()
        fields = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True) | parts
        if self.body_fingerprint:  # the content of the file counts, not its place
            fields["body"] = {name: value for name, value in self.body.items() if name != "pretrained"}
        text = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
