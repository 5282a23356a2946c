"""What a campaign was asked for: typed, documented, checked field by field and together."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import ConfigError
from workers.storage.spool import in_object_store
from workers.yaml_file import read_mapping


class CampaignConfig(BaseModel):
    """What `orchestrator label` was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="What the network is to do.")
    space: str = "nasbench201"
    num: int = Field(default=8, ge=1, description="Architectures to label.")
    data: str = "shapes"
    fidelity: str = Field(
        default="shared", description="shared: a short fine-tune; full: from scratch; proxy: no training at all."
    )
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

    refresh_every: int = Field(default=0, ge=0, description="New labels after which the predictor is refreshed.")
    predictors: str = Field(default="predictors", description="Folder of the predictor's generations.")

    @model_validator(mode="after")
    def _named_things_exist(self) -> Self:
        if not self.store:
            raise ValueError("--store is empty: name a folder or an object-store URI")
        if self.save_images and in_object_store(self.store):
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
                from workers.tasks import task_names  # loads torch, which takes seconds

                raise ConfigError(f"--{where} is missing: choose one of {', '.join(task_names())}") from None
            raise ConfigError(f"--{where.replace('_', '-')}: {first['msg']}, not {first['input']!r}") from None


def load_config(path: Path) -> dict[str, object]:
    """Fields of a campaign from a YAML file, not yet checked. Raises ConfigError."""
    fields = read_mapping(path, "--config", ConfigError, "a readable YAML file", "such as 'task: seg'")
    return {str(name): value for name, value in fields.items()}
