"""The configuration of a campaign: typed, documented, each field and their combinations checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orchestrator.errors import ConfigError
from workers.storage.spool import in_object_store
from workers.yaml_file import read_mapping

IN_ROUNDS = ("diverse", "best", "both")


class CampaignConfig(BaseModel):
    """What `orchestrator label` is asked for. The command's options, their defaults and their help come from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="Task: cls, det, iseg, seg, pano or pose.")
    also: tuple[str, ...] = Field(
        default=(),
        description="Further tasks labelled by the same training, with commas between them: --task pano --also "
        "det,iseg,seg.",
    )
    space: str = Field(default="nasbench201", description="Search space, or the YAML file that declares your own.")
    num: int = Field(default=8, ge=1, description="Number of architectures to sample.")
    architectures: str = Field(
        default="",
        description="CSV or JSON file of architectures to label: column model with names such as timm:resnet50, or "
        "columns space and genotype. None are sampled then, unless --num is given.",
    )
    data: str = Field(default="shapes", description="Data set: shapes, coco:DIR, masks:DIR or imagefolder:DIR.")
    fidelity: str = Field(
        default="shared",
        description="How a label is made: shared (a short fine-tune of shared weights), full (a whole training) "
        "or proxy (no training).",
    )
    recipe: str = Field(default="laptop", description="Recipe: a tier such as laptop, or a YAML file.")
    set: dict[str, object] = Field(
        default_factory=dict, description="Override a field of the recipe, with a YAML value; may be repeated."
    )
    seed: int = Field(default=0, ge=0, description="Seed of sampling, initialisation and data order.")
    repeat: int = Field(default=1, ge=1, description="Number of seeds per architecture, to measure reliability.")
    sample: Literal["stratified", "uniform"] = Field(
        default="stratified", description="How architectures are sampled: stratified (by FLOPs) or uniform."
    )
    choose: Literal["stratified", "random", "diverse", "best", "both"] = Field(
        default="stratified",
        description="What is labelled: a sample (stratified or random), or what is chosen in rounds from the labels so "
        "far: diverse (for the predictor), best (for the best network) or both.",
    )
    pool: int = Field(
        default=500, ge=1, description="With --choose diverse, best or both: architectures to choose from."
    )
    store: str = Field(default="labels", description="Label store: a folder or an object-store URI.")
    workers: int | None = Field(
        default=None, ge=1, description="Number of label workers (Ray actors); as many as fit if unset."
    )
    retry_failed: bool = Field(default=False, description="Retry labels that failed permanently in an earlier run.")
    audit: int = Field(
        default=0,
        ge=0,
        description="Number of architectures to label at fidelity full as well, to measure how well the labels rank.",
    )
    latency: str = Field(
        default="",
        description="Also measure the latency of each network that is labelled, on cpu or cuda, as a separate label.",
    )
    save_images: int = Field(
        default=0, ge=0, description="Number of pictures of predictions to save per label, in STORE/_images."
    )
    refresh_every: int = Field(
        default=0,
        ge=0,
        description="Refresh the predictor in the background after this many new labels, and at the end; 0: only at "
        "the end of a campaign with --choose diverse, best or both.",
    )
    predictors: str = Field(
        default="predictors", description="Folder of the predictor's generations; all nodes must reach it."
    )

    @field_validator("also", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _named_things_exist(self) -> Self:
        if not self.store:
            raise ValueError("--store is empty: name a folder or an object-store URI")
        if self.save_images and in_object_store(self.store):
            raise ValueError(
                f"--save-images: {self.store} is not a local folder, and pictures need one: name a folder with --store"
            )
        if self.latency not in ("", "cpu", "cuda"):
            raise ValueError(f"--latency '{self.latency}': write cpu or cuda")
        if self.audit and self.fidelity == "full":
            raise ValueError("--audit compares a cheaper fidelity with full: add --fidelity shared or proxy")
        self._check_choice()
        return self

    @property
    def in_rounds(self) -> bool:
        """Whether architectures are chosen in rounds, from the labels so far."""
        return self.choose in IN_ROUNDS

    def _check_choice(self) -> None:
        """Raise ValueError if an option contradicts --choose."""
        if self.choose == "random" and "sample" in self.model_fields_set and self.sample != "uniform":
            raise ValueError(f"--choose random samples uniformly: leave out --sample {self.sample}")
        if not self.in_rounds:
            if "pool" in self.model_fields_set:
                raise ValueError("--pool is of --choose diverse, best and both: add one of them, or leave it out")
            return
        for option in ("architectures", "audit", "sample"):
            if option in self.model_fields_set and getattr(self, option):
                name = option.replace("_", "-")
                raise ValueError(f"--{name}: not available with --choose {self.choose}: leave it out")

    @classmethod
    def checked(cls, **fields: object) -> Self:
        """The validated configuration. Raises ConfigError, in one line, for the first field that is wrong."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            if not first["loc"]:  # a combination of fields
                raise ConfigError(first["msg"].removeprefix("Value error, ")) from None
            if first["type"] == "missing":
                from workers.tasks import task_names  # loads torch, which takes seconds

                raise ConfigError(f"--{where} is missing: choose one of {', '.join(task_names())}") from None
            raise ConfigError(f"--{where.replace('_', '-')}: {first['msg']}, not {first['input']!r}") from None


def load_config(path: Path) -> dict[str, object]:
    """Fields of a campaign from a YAML file, not validated yet. Raises ConfigError."""
    fields = read_mapping(path, "--config", ConfigError, "a readable YAML file", "such as 'task: seg'")
    return {str(name): value for name, value in fields.items()}
