"""The messages between control plane and data plane: what is asked for, and what came of it. All frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """One label to be made. `key` names it for ever: the same request has the same key on any machine."""

    architecture: Architecture
    task: str
    data: str  # as on the command line: FORMAT[:WHERE]
    fingerprint: str  # of the data set's content
    fidelity: str
    recipe: Recipe
    seed: int
    also: tuple[str, ...] = ()  # further tasks that the same training answers; no part of the key

    @property
    def key(self) -> str:
        """32 hexadecimal digits over architecture, task, data content, fidelity, recipe and seed."""
        parts = (self.architecture.id, self.task, self.fingerprint, self.fidelity, self.recipe.hash, str(self.seed))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    @property
    def companions(self) -> tuple[LabelRequest, ...]:
        """The labels that come along, as requests of their own."""
        return tuple(replace(self, task=task, also=()) for task in self.also)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all labels that one run makes."""
        return self.key, *(companion.key for companion in self.companions)


@dataclass(frozen=True, slots=True)
class LabelJob:
    """One attempt at a request. `attempt` counts from 1; `split` > 1 runs the batch in so many accumulated parts."""

    request: LabelRequest
    campaign: str
    attempt: int = 1
    split: int = 1

    @property
    def attempt_id(self) -> str:
        """Unique for ever: key, campaign (itself unique a run) and number of the attempt."""
        return f"{self.request.key}-{self.campaign}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an evaluator measured for one request.

    value: the task's metric in 0..1, higher is better. seconds: wall seconds by phase (data, build, train, evaluate).
    also: by task, what the same run measured for the request's companions; their seconds are empty, being counted here.
    graph: JSON of the network's graph, body and head; empty where none was traced.
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
    """How an attempt ended. The first is success; the failure policy decides what follows from each other one."""

    OK = "ok"
    OUT_OF_MEMORY = "out_of_memory"
    BAD_DATA = "bad_data"
    DIVERGED = "diverged"
    ERROR = "error"  # the evaluator raised something that nobody foresaw
    CRASH = "crash"  # the worker's process died
    LOST_NODE = "lost_node"
    TIMEOUT = "timeout"
    STOPPED = "stopped"  # the user stopped the campaign


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One ended attempt: a row of `attempts/`, and of `labels/` too when it succeeded."""

    job: LabelJob
    outcome: Outcome
    message: str
    node: str
    started: float  # seconds since the epoch
    seconds: float
    measurement: Measurement | None = None
    final: bool = field(default=False)  # a failure that a later run does not try again


class Evaluator(Protocol):
    """Makes one label. Raises LabelFailure for the failures it recognises; any other exception is an ERROR."""

    def __call__(self, job: LabelJob) -> Measurement: ...
