"""The configuration of a search: that of a campaign, limits, a reference, a budget and the verification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.campaign.config import CampaignConfig
from orchestrator.errors import ConfigError
from orchestrator.search.limits import LATENCY, Budget, Limit, parse_budget, parse_limits
from workers.messages.recipe_files import merged_fields

_OPTIONS = """task space data max_flops max_params max_latency reference budget verify verify_seeds verify_fidelity
verify_set weights hold strategy fidelity recipe set seed repeat pool latency store workers retry_failed predictors"""
OPTIONS = tuple(_OPTIONS.split())  # those of the command, in the order of its help

_CAMPAIGN = "space data fidelity recipe set seed repeat latency store workers retry_failed predictors"
_OF_A_CAMPAIGN = tuple(_CAMPAIGN.split())


class SearchConfig(CampaignConfig):
    """What `orchestrator search` is asked for. The command's options, their defaults and their help come from here."""

    task: str = Field(description="Task, or several with commas between them: one backbone for all of them.")
    pool: int = Field(default=200, ge=1, description="Sampled architectures that each evolution starts from.")
    max_flops: str = Field(
        default="", description="Most FLOPs of backbone and head for an image: 1.2G, or 60% of the reference."
    )
    max_params: str = Field(default="", description="Most parameters of backbone and head: 5M, or 60%.")
    max_latency: str = Field(
        default="", description="Most milliseconds, measured by the workers on --latency: 8ms, or 60%."
    )
    reference: str = Field(
        default="",
        description="Architecture to compare with: a genotype or SPACE:GENOTYPE; by default the sampled one with most "
        "FLOPs.",
    )
    budget: str = Field(
        default="40 labels", description="When to stop: after a number of architectures (200 labels) or a time (2h)."
    )
    verify: int = Field(
        default=8, ge=0, description="Best networks to label with --verify-fidelity and several seeds; 0: none."
    )
    verify_seeds: int = Field(default=2, ge=1, description="Seeds of the verification.")
    verify_fidelity: Literal["full", "shared"] = Field(default="full", description="Fidelity of the verification.")
    verify_set: dict[str, object] = Field(
        default_factory=dict,
        description="Override a field of the verification's recipe; may be repeated. Those of --set count too if both "
        "fidelities are equal.",
    )
    weights: tuple[float, ...] = Field(
        default=(), description="With several tasks: weights of their labels, in standard deviations: 2,1,1."
    )
    hold: dict[str, object] = Field(
        default_factory=dict,
        description="Hold a place of the genotype fixed, such as depth.0=2 or ops.5=skip_connect; may be repeated.",
    )
    strategy: Literal["predictor", "random"] = Field(
        default="predictor",
        description="What is labelled: what evolution finds with the predictor, or a random sample within the limits.",
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _split_weights(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _limits_can_be_met(self) -> Self:
        try:
            _, limits = self.parsed_budget, self.limits
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if self.latency and not self.max_latency:
            raise ValueError(f"--latency {self.latency}: is measured for a limit: add --max-latency, or leave it out")
        if self.weights and len(self.weights) != len(self.tasks):
            raise ValueError(f"--weights: {len(self.weights)} for {len(self.tasks)} tasks: write one for each")
        if any(weight <= 0 for weight in self.weights):
            raise ValueError("--weights: must be above 0: leave out a task that does not count")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"--task {self.task}: names a task twice")
        same_labels = self.verify_fidelity == self.fidelity and self._verification_fields == self.set
        if self.verify and same_labels and self.verify_seeds <= self.repeat:
            raise ValueError(
                f"--verify-fidelity {self.verify_fidelity}: these are the labels of the search itself: add seeds with "
                f"--verify-seeds {self.repeat + 1}, or choose another fidelity"
            )
        if any(limit.cost == LATENCY for limit in limits) and not self.latency:
            object.__setattr__(self, "latency", "cpu")
        return self

    def _check_choice(self) -> None:
        """Replace the check of --choose: a search has --strategy."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in their order."""
        return tuple(part.strip() for part in self.task.split(","))

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits. Raises ConfigError for a text that is none."""
        given = {"flops": self.max_flops, "params": self.max_params, "latency": self.max_latency}
        return parse_limits(given)

    @property
    def parsed_budget(self) -> Budget:
        """The budget. Raises ConfigError for a text that is none."""
        return parse_budget(self.budget)

    @property
    def held(self) -> dict[str, Any]:
        """Values to hold fixed by place, such as depth.0."""
        return dict(_flattened(self.hold))

    def campaign(self, task: str, **fields: Any) -> CampaignConfig:
        """Return the configuration of a campaign for one task. fields: override those of the search."""
        shared = {name: getattr(self, name) for name in _OF_A_CAMPAIGN}
        return CampaignConfig.checked(**shared | {"task": task} | fields)

    def verification(self, task: str) -> CampaignConfig:
        """Return the configuration of the verification of one task."""
        fields = {"fidelity": self.verify_fidelity, "repeat": self.verify_seeds, "latency": ""}
        return self.campaign(task, **fields, set=self._verification_fields)

    @property
    def _verification_fields(self) -> dict[str, object]:
        """Fields of the verification's recipe. Those of --set count if it is the recipe of the search."""
        return merged_fields(self.set if self.verify_fidelity == self.fidelity else {}, self.verify_set)


def _flattened(values: Mapping[str, object], before: str = "") -> list[tuple[str, object]]:
    """Return (path, value) of all values in nested mappings."""
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        path = f"{before}{name}"
        found += _flattened(value, f"{path}.") if isinstance(value, dict) else [(path, value)]
    return found
