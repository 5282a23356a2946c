"""Messages between control plane and data plane: label requests, attempts and their reports. All are immutable."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe


def label_key(
    architecture: str, task: str, fingerprint: str, fidelity: str, recipe_hash: str, seed: int, metric: str = ""
) -> str:
    """Return the key of a label, 32 hexadecimal digits. metric: empty unless it is needed to tell labels apart."""
    parts = [architecture, task, fingerprint, fidelity, recipe_hash, str(seed), *([metric] if metric else [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """A label to make. `key` identifies it: the same request has the same key on every machine and in every version."""

    architecture: Architecture
    task: str
    data: str  # as on the command line: FORMAT[:WHERE]
    fingerprint: str  # of the data set's content
    fidelity: str
    recipe: Recipe
    seed: int
    also: tuple[str, ...] = ()  # companion tasks, labelled by the same training; not part of the key
    reason: str = ""  # why it was chosen, stored with a successful attempt; not part of the key
    # Whether the trained weights are kept, see `EvaluatorOptions.weights_uri`; not part of the key.
    keep_weights: bool = False
    # Of an imported result, if another metric of the same network has the key without it.
    metric: str = ""

    @property
    def key(self) -> str:
        """A hash of architecture, task, data content, fidelity, recipe and seed, as 32 hexadecimal digits."""
        set_parts = (self.task, self.fingerprint, self.fidelity, self.recipe.hash)
        return label_key(self.architecture.id, *set_parts, self.seed, self.metric)

    @property
    def companions(self) -> tuple[LabelRequest, ...]:
        """A request for each companion task."""
        return tuple(replace(self, task=task, also=()) for task in self.also)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all labels that one training makes."""
        return self.key, *(companion.key for companion in self.companions)


@dataclass(frozen=True, slots=True)
class LabelJob:
    """One attempt at a request.

    attempt: number of the attempt, from 1. split: number of parts of each batch, whose gradients are accumulated.
    """

    request: LabelRequest
    campaign: str
    attempt: int = 1
    split: int = 1

    @property
    def attempt_id(self) -> str:
        """A globally unique id: key, campaign (which is unique per run) and number of the attempt."""
        return attempt_id(self.request.key, self.campaign, self.attempt)


def attempt_id(key: str, campaign: str, attempt: int) -> str:
    """Return `LabelJob.attempt_id` for the key of its request."""
    return f"{key}-{campaign}-{attempt}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """An evaluator's result for one request.

    value: of our own tasks the metric in 0..1, higher is better; of published results any number. metrics: all metrics
    by name. flops, params: of the network. seconds: wall seconds by phase (data, build, train, evaluate). also: results
    for the companion tasks, whose seconds are empty because they are counted here. graph: the network's graph as JSON;
    empty if none was traced.
    """

    value: float
    metric: str
    metrics: dict[str, float]
    flops: float
    params: float
    seconds: dict[str, float]
    also: Mapping[str, Measurement] = field(default_factory=dict)
    graph: str = ""


class Outcome(StrEnum):
    """How an attempt ended. OK is success; the failure policy decides what follows each failure. Values are stored."""

    OK = "ok"
    OUT_OF_MEMORY = "out_of_memory"  # of the device, or of an allocation that failed
    HOST_OUT_OF_MEMORY = "host_out_of_memory"  # the machine stopped the worker because memory ran low
    BAD_DATA = "bad_data"
    DIVERGED = "diverged"
    ERROR = "error"  # the evaluator raised an unexpected exception
    CRASH = "crash"  # the worker's process died
    LOST_NODE = "lost_node"
    TIMEOUT = "timeout"
    STOPPED = "stopped"  # the user stopped the campaign


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """The result of one attempt: a row of the table `attempts/`, and of `labels/` too if it succeeded."""

    job: LabelJob
    outcome: Outcome
    message: str
    node: str
    started: float  # seconds since the epoch
    seconds: float
    measurement: Measurement | None = None
    final: bool = field(default=False)  # a failure that later runs do not retry


class Evaluator(Protocol):
    """Makes labels. Raises LabelFailure for failures that it recognises; any other exception is an ERROR."""

    def __call__(self, job: LabelJob) -> Measurement: ...
