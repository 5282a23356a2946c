"""From a validated configuration to the requests of a campaign. No worker has started yet."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import ConfigError
from workers.data import DataSet, open_data
from workers.fidelity import get_fidelity
from workers.label import LabelRequest
from workers.recipe import Recipe
from workers.spaces import Space, get_space, space_names
from workers.supernet.recipe import COMMON, SharedRecipe
from workers.tasks import get_task, task_names


class CampaignConfig(BaseModel):
    """What `orchestrator label` was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="What the network is to do.")
    space: str = "nasbench201"
    num: int = Field(default=8, ge=1, description="Architectures to label.")
    data: str = "shapes"
    fidelity: str = "full"
    recipe: str = Field(default="laptop", description="A tier such as laptop, or a YAML file.")
    set: dict[str, object] = Field(default_factory=dict, description="Recipe fields to override.")
    seed: int = Field(default=0, ge=0, description="Of the sample, the initialisation and the order of the data.")
    repeat: int = Field(default=1, ge=1, description="Seeds an architecture is labelled with.")
    sample: Literal["stratified", "uniform"] = "stratified"
    store: str = "labels"
    workers: int | None = Field(default=None, ge=1, description="Actors; as many as the CPUs allow if unset.")
    retry_failed: bool = False
    also: tuple[str, ...] = Field(default=(), description="Further tasks that the same training answers.")
    audit: int = Field(default=0, ge=0, description="Architectures labelled at fidelity full too, to compare.")
    save_images: int = Field(default=0, ge=0, description="Pictures of predictions a label, beside the store.")

    @model_validator(mode="after")
    def _named_things_exist(self) -> Self:
        if not self.store:
            raise ValueError("--store is empty: name a folder or an object-store URI")
        if self.save_images and "://" in self.store:
            raise ValueError(f"--save-images: {self.store} is no folder to put pictures in: use a local --store")
        if self.audit and self.fidelity == "full":
            raise ValueError("--audit: compares a cheaper fidelity with full: add --fidelity shared or proxy")
        return self

    @classmethod
    def checked(cls, **fields: object) -> CampaignConfig:
        """The configuration. Raises ConfigError in one line for the first wrong field."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            if not first["loc"]:  # fields that do not go together
                raise ConfigError(first["msg"].removeprefix("Value error, ")) from None
            if first["type"] == "missing":
                raise ConfigError(f"--{where} is missing: choose one of {', '.join(task_names())}") from None
            raise ConfigError(f"--{where.replace('_', '-')}: {first['msg']}, not {first['input']!r}") from None


def load_config(path: Path) -> dict[str, object]:
    """Fields of a campaign from a YAML file, not yet checked. Raises ConfigError."""
    try:
        fields = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}: name a readable YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: not YAML ({' '.join(str(error).split())}): mend the file") from None
    if not isinstance(fields, dict):
        raise ConfigError(f"--config {path}: must be a mapping such as 'task: seg'")
    return {str(name): value for name, value in fields.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """All requests of a campaign, in the order in which they are to be made.

    audit: labels at fidelity full of some of the same architectures and seeds, made after the others.
    """

    requests: tuple[LabelRequest, ...]
    audit: tuple[LabelRequest, ...]
    recipe: Recipe
    classes: tuple[str, ...]


def plan_campaign(config: CampaignConfig) -> Plan:
    """Check every name, file and field, then sample. Raises AIOPError subclasses.

    A longer campaign begins with the requests of a shorter one, so asking for more adds to what is there.
    """
    task = get_task(config.task)
    for other in config.also:
        if other not in task.also:
            known = f"choose from {', '.join(task.also)}" if task.also else "only pano has companions"
            raise ConfigError(f"--also {other}: training for {config.task} does not answer it: {known}")
    space = get_space(config.space)
    fidelity = get_fidelity(config.fidelity)
    for option in ("also", "save_images"):
        if not fidelity.trains and getattr(config, option):
            raise ConfigError(
                f"--{option.replace('_', '-')}: an untrained network predicts nothing: use another fidelity"
            )
    data: DataSet = open_data(config.data, config.task)
    data.check(config.task)
    recipe = fidelity.load(config.recipe, config.task, config.space, config.set)
    if isinstance(recipe, SharedRecipe):
        recipe = _with_shared_weights(recipe, space)
    vocabulary = data.vocabulary(config.task)
    body = space.build(next(space.sequence(0)), recipe.body)  # a wrong body or head setting shows here
    task.build_head(body.channels, body.strides, vocabulary, recipe.head)
    fingerprint = data.fingerprint()
    draws = (
        space.stratified(config.seed, recipe.input_size, recipe.body)
        if config.sample == "stratified"
        else space.sequence(config.seed)
    )
    requests = tuple(
        LabelRequest(a, config.task, data.spec, fingerprint, config.fidelity, recipe, config.seed + r, config.also)
        for a in itertools.islice(draws, config.num)
        for r in range(config.repeat)
    )
    if len(requests) < config.num * config.repeat:
        raise ConfigError(f"--num: space {config.space} has only {len(requests) // config.repeat} architectures")
    return Plan(requests, _audit(config, requests, recipe), recipe, vocabulary.classes)


def _with_shared_weights(recipe: SharedRecipe, space: Space) -> SharedRecipe:
    """The recipe with the fingerprint of its supernet's data, once that and the space are checked."""
    if not space.covering():
        able = ", ".join(name for name in space_names() if get_space(name).covering())
        raise ConfigError(f"--space {space.name}: its networks share no weights: use --fidelity full, or one of {able}")
    data = open_data(recipe.supernet.data, recipe.supernet.task)
    data.check(recipe.supernet.task)
    return recipe.model_copy(update={"supernet_fingerprint": data.fingerprint()})


def _audit(config: CampaignConfig, requests: tuple[LabelRequest, ...], recipe: Recipe) -> tuple[LabelRequest, ...]:
    """The first architectures once more, at fidelity full: as the recipe names it, with body and head as set."""
    if not config.audit:
        return ()
    tier = recipe.full if isinstance(recipe, SharedRecipe) else config.recipe
    common = {name: config.set[name] for name in COMMON if name in config.set}
    full = get_fidelity("full").load(tier, config.task, config.space, common)
    first = requests[: config.audit * config.repeat]
    return tuple(replace(request, fidelity="full", recipe=full, also=()) for request in first)
