"""Find out whether the store has labels that the champion was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from orchestrator.errors import ConfigError, StoreVacuumedError
from orchestrator.predictors.decisions import RefreshRecord, read_records
from orchestrator.predictors.generations import champion_number, generation_folder, pinned_number
from orchestrator.predictors.verdict import Verdict
from orchestrator.store.delta import DeltaLabelStore
from predictor.generation import read_metadata
from workers.messages.calibrated_recipe import FIDELITY as CALIBRATED

UPDATABLE_MODELS = ("default",)  # listed here, so that no model needs to be loaded


@dataclass(frozen=True, slots=True)
class NoChampion:
    """A first generation must be trained, on the labels of the store's `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class NothingToDo:
    """The champion stays in use. reason: for the user."""

    reason: str
    champion: int


@dataclass(frozen=True, slots=True)
class NewLabels:
    """The store has labels that are newer than the champion.

    since: store version that the champion was trained on. until: newest version. labels: number of new labels; None if
    version `since` was vacuumed, so that all labels count as new.
    """

    champion: int
    since: int
    until: int
    labels: int | None


RefreshState = NoChampion | NothingToDo | NewLabels


def find_new_labels(folder: Path, store: str) -> RefreshState:
    """Compare the champion in `folder` with the store. Takes milliseconds, because no graph is read.

    Raises ConfigError if the store is empty or cannot be the one that the champion was trained on, or if its model
    cannot be updated; GenerationError for a damaged champion.
    """
    label_store = DeltaLabelStore(store)
    version, champion = label_store.version(), champion_number(folder)
    if version < 0 or not len(label_store.keys()):
        raise ConfigError(f"--store {store}: has no labels: make some with `orchestrator label` or `import`")
    if champion is None:
        return NoChampion(version)
    since = _checked_version(folder, champion, store, version)
    if (pinned := pinned_number(folder)) is not None:
        return NothingToDo(
            f"generation {pinned} is pinned: `orchestrator generations unpin` allows newer ones again", pinned
        )
    labels = _count_new(label_store, since, version)
    if labels == 0:
        return NothingToDo(f"no label is newer than generation {champion} (version {version} of the store)", champion)
    refused = _last_refused(folder, champion, store)
    if refused is not None and not _count_new(label_store, refused.version, version):
        reason = f"the newest labels were tried, and generation {champion} was kept ({refused.reason})"
        return NothingToDo(reason, champion)
    return NewLabels(champion, since, version, labels)


def _checked_version(folder: Path, champion: int, store: str, version: int) -> int:
    """Return the store version that the champion was trained on. Raises ConfigError if it cannot be updated."""
    metadata = read_metadata(generation_folder(folder, champion))
    if metadata.version > version:
        raise ConfigError(
            f"--store {store}: has version {version}, generation {champion} was trained on version {metadata.version}: "
            "name the store that it was trained on, or train a first generation in another --predictors folder"
        )
    if metadata.model not in UPDATABLE_MODELS:
        raise ConfigError(
            f"--predictors {folder}: generation {champion} is of model {metadata.model}, which cannot be updated: "
            "train model default"
        )
    return metadata.version


def _last_refused(folder: Path, champion: int, store: str) -> RefreshRecord | None:
    """Return the last candidate that was refused in favour of this champion."""
    records = [r for r in read_records(folder) if r.champion == champion and r.store == store]
    refused = [record for record in records if record.verdict is Verdict.KEEP]
    return refused[-1] if refused else None


def _count_new(label_store: DeltaLabelStore, since: int, version: int) -> int | None:
    """Return the number of labels to learn that are newer than version `since`; None if that version was vacuumed."""
    if since >= version:
        return 0
    try:
        new = label_store.labels_since(since, version, ["fidelity"])
        return len(new.filter(pc.field("fidelity") != CALIBRATED))
    except StoreVacuumedError:
        return None
