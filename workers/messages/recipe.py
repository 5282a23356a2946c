"""A recipe: the named, versioned budget and hyper-parameters of a label."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workers.errors import RecipeError, UnknownNameError
from workers.yaml_file import read_mapping

PIPELINE = 2  # of this code: each image is augmented separately, and images are upright
_MAX_TRAININGS = 4  # with a few images there would be dozens

RecipeT = TypeVar("RecipeT", bound="Recipe")


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
    batch: int = Field(default=16, ge=1, description="Images per optimizer step.")
    lr: float = Field(default=3e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, description="Weight decay of AdamW.")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Fraction of the steps with a rising learning rate.")
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="Learning rate after the warm-up.")
    ema: float = Field(default=0.99, ge=0, lt=1, description="Decay of the averaged weights; 0 uses the last weights.")
    clip_norm: float = Field(default=5.0, gt=0, description="Maximum gradient norm.")
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
    def _fits_together(self) -> Self:
        if any(side % 32 for side in self.input_size):
            raise ValueError(f"input_size {self.input_size} must be multiples of 32, the coarsest stride of a backbone")
        if self.ema and self.steps * (1 - self.ema) < 1:
            raise ValueError(f"ema {self.ema} is too slow for {self.steps} steps: lower ema or raise steps")
        for name, highest in (("scale_range", math.inf), ("crop_area", 1.0), ("crop_aspect", math.inf)):
            bounds = getattr(self, name)
            if bounds is not None and not 0 < bounds[0] <= bounds[1] <= highest:
                raise ValueError(f"{name} {list(bounds)}: write two positive numbers, the lower one first")
        if sum((self.zoom < 1, self.scale_range is not None, self.crop_area is not None)) > 1:
            raise ValueError("zoom, scale_range and crop_area are three ways to crop: set one of them")
        if self.rotation and self.task != "pose":
            raise ValueError(f"rotation {self.rotation:g}: only task pose turns images: set it to 0")
        return self

    def trainings(self, images: int) -> tuple[int, Self]:
        """Return the number of trainings of a label, and the recipe of each. Together they have `steps` steps.

        images: number of training images.
        """
        if self.passes is None:
            return 1, self
        max_steps = max(1.0, self.passes * images / self.batch)
        count = min(_MAX_TRAININGS, max(1, round(self.steps / max_steps)))
        return count, self.model_copy(update={"steps": self.steps // count})

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
        parts = {name: part.hash for name in type(self).model_fields if isinstance(part := getattr(self, name), Recipe)}
        left_out = set(self._NOT_HASHED) | parts.keys()
        fields = self.model_dump(mode="json", exclude=left_out, exclude_defaults=True) | parts
        if self.body_fingerprint:  # the content of the file counts, not its place
            fields["body"] = {name: value for name, value in self.body.items() if name != "pretrained"}
        text = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def shipped_recipes(section: str = "") -> dict[str, Path]:
    """Return the files of the recipes that come with the project, by name. section: a subfolder."""
    folder = Path(str(resources.files("workers") / "recipes")) / section
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(which: str, task: str, space: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load recipe `which`, a tier such as `laptop` or a YAML file, for one task and space.

    Later fields replace earlier ones: the file's top level, its section `spaces: {SPACE: {...}}`, then `overrides`.

    Raises:
        UnknownNameError: no such tier for the task.
        RecipeError: the file is not a valid recipe.
    """
    path = recipe_file(which, task)
    return checked_recipe(Recipe, {"task": task} | recipe_fields(path, space), overrides or {}, path, task)


def recipe_file(which: str, task: str, section: str = "") -> Path:
    """Return the file of recipe `which`: a YAML file, or a tier, whose shipped file is TASK.TIER.yaml.

    Raises UnknownNameError for an unknown tier, RecipeError for a tier of another section.
    """
    if Path(which).suffix in {".yaml", ".yml"}:
        return Path(which)
    known = shipped_recipes(section)
    if f"{task}.{which}" not in known:
        tiers = [name.split(".", 1)[1] for name in known if name.startswith(f"{task}.")]
        if section == "shared" and f"{task}.{which}" in shipped_recipes():
            raise RecipeError(
                f"--recipe {which}: this tier trains from scratch: add --fidelity full, or choose {', '.join(tiers)}"
            )
        kind = f"{section} recipe" if section else "recipe"
        raise UnknownNameError(f"{kind} for task {task}", which, tiers)
    return known[f"{task}.{which}"]


def recipe_fields(path: Path, space: str) -> dict[str, Any]:
    """Return the fields of a recipe's file, with its section for `space` applied, unchecked. Raises RecipeError."""
    examples = "of fields, see workers/recipes/ for examples"
    raw = read_mapping(path, "recipe", RecipeError, "a readable YAML file or a tier", examples)
    per_space = raw.pop("spaces", None) or {}
    fields: dict[str, Any] = {"name": path.stem, **raw, **per_space.get(space, {})}
    return fields


def checked_recipe(
    kind: type[RecipeT], fields: Mapping[str, Any], overrides: Mapping[str, Any], path: Path, task: str
) -> RecipeT:
    """Return the recipe with `fields` and `overrides`; mappings such as `head` are merged. Raises RecipeError."""
    merged = {**fields}
    for key, value in overrides.items():
        section = merged.get(key)
        merged[key] = {**section, **value} if isinstance(value, dict) and isinstance(section, dict) else value
    if "pipeline" in overrides:
        raise RecipeError(f"recipe {path}: pipeline is the version of this code: leave it out")
    merged["pipeline"] = PIPELINE
    try:
        recipe = kind.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise RecipeError(f"recipe {path}: {where}: {first['msg']}: see `{kind.__module__}` for the fields") from None
    if recipe.task != task:
        raise RecipeError(f"recipe {path}: is for task {recipe.task}, not {task}: choose a recipe for {task}")
    return recipe
