"""Whether there is anything to learn for the champion of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ConfigError, StoreForgotError
from orchestrator.predictors.decisions import KEEP, read_records
from orchestrator.predictors.generations import champion, pinned, place_of
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_metadata

REFRESHABLE = ("default",)  # models that can learn more; known here so that a look need not load them


@dataclass(frozen=True, slots=True)
class NoChampion:
    """A first generation is to be trained, from the labels of `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """reason: in words."""

    reason: str
    champion: int


@dataclass(frozen=True, slots=True)
class NewLabels:
    """labels: that came after the champion's version `since`, up to `until`; None: since when, the store forgot."""

    champion: int
    since: int
    until: int
    labels: int | None


Standing = NoChampion | NothingToDo | NewLabels


def look(folder: Path, store: str) -> Standing:
    """What the store has for the champion. Takes milliseconds: no graph is read.

    Raises ConfigError for a store that cannot be the one it learnt from, GenerationError for a damaged champion.
    """
    opened = DeltaLabelStore(store)
    version, number = opened.version(), champion(folder)
    if version < 0 or not len(opened.keys()):
        raise ConfigError(f"--store {store}: it has no labels: make some with `orchestrator label` or `import`")
    if number is None:
        return NoChampion(version)
    metadata = read_metadata(place_of(folder, number))
    since = metadata.version
    if since > version:
        raise ConfigError(
            f"--store {store}: has version {version}, generation {number} learnt from {since}: name the store that it "
            "learnt from, or train anew into another --out"
        )
    if metadata.model not in REFRESHABLE:
        raise ConfigError(
            f"--out {folder}: generation {number} is of model {metadata.model}, which cannot learn more: train default"
        )
    if (held := pinned(folder)) is not None:
        return NothingToDo(f"generation {held} is pinned: `orchestrator generations unpin` lets it be followed", held)
    labels = _count(opened, since, version)
    if labels == 0:
        return NothingToDo(f"no label is newer than generation {number} (version {version} of the store)", number)
    tried = [r for r in read_records(folder) if r.champion == number and r.decision == KEEP and r.store == store]
    if tried and not _count(opened, tried[-1].version, version):
        reason = f"the newest labels were tried, and generation {number} kept ({tried[-1].reason})"
        return NothingToDo(reason, number)
    return NewLabels(number, since, version, labels)


def _count(opened: DeltaLabelStore, since: int, version: int) -> int | None:
    if since >= version:
        return 0
    try:
        return len(opened.labels_since(since, version))
    except StoreForgotError:
        return None
