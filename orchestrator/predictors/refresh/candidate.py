"""Train a candidate: the champion updated on new labels, and both predictions for the hold-out. Does not use Ray."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import StoreError
from orchestrator.predictors.generations import snapshot_folder
from orchestrator.predictors.holdout import describe_generation, hold_out_report, split_hold_out
from orchestrator.predictors.label_sets import IDENTITY_COLUMNS, LabelSetIdentity, build_label_sets
from orchestrator.predictors.labelled_networks import record_networks
from orchestrator.predictors.promotion import CANDIDATE_GENERATION, CANDIDATE_SNAPSHOT
from orchestrator.predictors.refresh.gate import HeldOutSet
from orchestrator.predictors.refresh.job import COMPARISON, RefreshJob, write_comparison
from orchestrator.predictors.refresh.outliers import clip_outliers
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import SnapshotError, read_snapshot, write_snapshot
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.label_set import LabelSet
from predictor.metadata import LearnedSet, RefreshOrigin
from predictor.models import NothingKnownError, Prediction
from predictor.networks.fitting import Checkpointer

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _SplitSet:
    """Training and hold-out labels of one set, and which labels of each are new."""

    training: LabelSet
    held_out: LabelSet
    new: Mask
    new_held_out: Mask


def make_candidate(job: RefreshJob, folder: Path, checkpointer: Checkpointer, writes: bool = True) -> None:
    """Train a candidate; leave its generation, snapshot and comparison in `folder`, the comparison last.

    writes: whether this worker of the group writes them. Raises ModelError if the champion cannot be updated,
    StoreError and GenerationError for what cannot be read.
    """
    if (folder / COMPARISON).exists():
        return
    champion, store = Predictor.load(job.champion), DeltaLabelStore(job.store)
    base, snapshot_problem = _base_snapshot(job, champion, store)
    snapshot = base.updated_to(store, job.version)
    sets, without_graph = build_label_sets(snapshot)
    new = _new_labels(base, snapshot)
    known_sets = champion.metadata.sets
    splits = {identity: _split(labels, new[identity]) for identity, labels in _renamed(sets, known_sets).items()}
    before = {identity: _predicted(champion, split.held_out) for identity, split in splits.items()}
    training = {identity: split for identity, split in splits.items() if len(split.training)}
    clipped, outliers = _clip(champion, training)
    described = describe_generation(champion.metadata.model, job.store, job.version, clipped, without_graph)
    metadata = replace(
        record_networks(described, store, known_sets),
        refreshed=RefreshOrigin(
            champion=Path(job.champion).name,
            new_labels=sum(map(len, new.values())),
            snapshot_problem=snapshot_problem,
        ),
        outliers=outliers,
    )
    is_new = [splits[identity].new for identity in clipped]
    candidate = champion.update(list(clipped.values()), is_new, metadata, checkpointer)
    if writes:
        _write(folder, candidate, snapshot, splits, before)


def _write(
    folder: Path,
    candidate: Predictor,
    snapshot: Snapshot,
    splits: Mapping[LabelSetIdentity, _SplitSet],
    champion_predictions: Mapping[LabelSetIdentity, Prediction | None],
) -> None:
    """Write generation, snapshot and, last, the comparison with the champion's predictions for the hold-outs."""
    hold_out = hold_out_report(candidate, [split.held_out for split in splits.values()])
    candidate.metadata = replace(candidate.metadata, hold_out=hold_out)
    if not (folder / CANDIDATE_GENERATION).exists():
        candidate.save(folder / CANDIDATE_GENERATION)
    write_snapshot(folder / CANDIDATE_SNAPSHOT, snapshot)
    tested = {identity: split for identity, split in splits.items() if len(split.held_out)}
    compared = [_compared(split, champion_predictions[identity], candidate) for identity, split in tested.items()]
    write_comparison(folder, compared)


def _base_snapshot(job: RefreshJob, champion: Predictor, store: DeltaLabelStore) -> tuple[Snapshot, str | None]:
    """Return what the champion was trained on; and if it had to be read from the store, the reason."""
    version = champion.metadata.version
    try:
        stored = read_snapshot(snapshot_folder(Path(job.champion)))
        if stored.version == version:
            return stored, None
        problem = f"of version {stored.version} of the store, the champion is of {version}"
    except SnapshotError as error:
        problem = str(error)
    try:
        return Snapshot.empty().updated_to(store, version), problem
    except StoreError as error:  # the version was vacuumed: all labels count as new
        return Snapshot.empty(), f"{problem}; {error}"


def _new_labels(base: Snapshot, snapshot: Snapshot) -> dict[LabelSetIdentity, set[str]]:
    """Return, by set, the architectures with new labels."""
    new: dict[LabelSetIdentity, set[str]] = defaultdict(set)
    rows = snapshot.rows.slice(len(base.rows)).select([*IDENTITY_COLUMNS, "genotype", "architecture"]).to_pylist()
    for row in rows:
        if row["fidelity"] != "proxy":
            new[LabelSetIdentity.of_label(row)].add(row["architecture"])
    return new


def _renamed(
    sets: Mapping[LabelSetIdentity, LabelSet], known: Sequence[LearnedSet]
) -> dict[LabelSetIdentity, LabelSet]:
    """Return the sets under the names that the champion has for them: a set of another recipe makes names longer."""
    names = {LabelSetIdentity.from_kind(learned.kind): learned.name for learned in known}
    metrics = Counter(identity.without_metric() for identity in sets)
    renamed = {}
    for identity, labels in sets.items():
        name = names.get(identity)
        if name is None and metrics[identity.without_metric()] == 1:  # of a champion that did not record metrics
            name = names.get(identity.without_metric())
        renamed[identity] = replace(labels, name=name or labels.name)
    return renamed


def _split(labels: LabelSet, new: Collection[str]) -> _SplitSet:
    training, held_out = split_hold_out(labels)
    new_names = np.array(sorted(new), np.str_)
    masks = (np.isin(part.architectures, new_names) for part in (training, held_out))
    return _SplitSet(training, held_out, *masks)


def _predicted(champion: Predictor, query: LabelSet) -> Prediction | None:
    """Return the champion's predictions; None if it does not know the task or the unit of its labels."""
    if not len(query) or (query.task, query.data) not in champion.known:
        return None
    try:
        prediction = champion.predict_set(query)
    except NothingKnownError:
        return None
    return prediction if np.isfinite(prediction.deviation).all() else None


def _clip(
    champion: Predictor, splits: Mapping[LabelSetIdentity, _SplitSet]
) -> tuple[dict[LabelSetIdentity, LabelSet], dict[str, list[str]]]:
    """Return the training labels with outliers clipped, and by set name the architectures that are outliers.

    Checked are the labels of sets that the champion knows which are new or were outliers before, held-out ones too.
    """
    before, known = champion.metadata.outliers, {learned.name for learned in champion.metadata.sets}
    clipped, outliers = {}, dict[str, list[str]]()
    for identity, split in splits.items():
        name = split.training.name
        clipped[identity] = split.training
        if name not in known:
            continue
        clipped[identity], names = _clip_set(champion, split, before.get(name, []))
        if names:
            outliers[name] = names
    return clipped, outliers


def _clip_set(champion: Predictor, split: _SplitSet, before: Sequence[str]) -> tuple[LabelSet, list[str]]:
    """Return one set's training labels with outliers clipped, and the architectures that are outliers.

    before: architectures that were outliers before. If the champion cannot predict the labels, they are unchanged.
    """
    earlier = np.array(before, np.str_)
    rows, held_out_rows = (
        np.flatnonzero(new | np.isin(labels.architectures, earlier))
        for labels, new in ((split.training, split.new), (split.held_out, split.new_held_out))
    )
    checked = [split.training.take(rows), split.held_out.take(held_out_rows)]
    predictions = [_predicted(champion, labels) for labels in checked if len(labels)]
    if not predictions or any(prediction is None for prediction in predictions):
        return split.training, []
    new = np.concatenate([split.new[rows], split.new_held_out[held_out_rows]])
    result = clip_outliers(_concatenated(predictions), np.concatenate([labels.values for labels in checked]), new)
    values = split.training.values.copy()
    values[rows] = result.values[: len(rows)]
    names = np.concatenate([labels.architectures for labels in checked])[result.outliers]
    return replace(split.training, values=values), sorted(names.tolist())


def _concatenated(predictions: Sequence[Prediction | None]) -> Prediction:
    means, deviations = zip(*((p.mean, p.deviation) for p in predictions if p is not None), strict=True)
    return Prediction(np.concatenate(means), np.concatenate(deviations))


def _compared(split: _SplitSet, champion: Prediction | None, candidate: Predictor) -> HeldOutSet:
    labels = split.held_out
    return HeldOutSet(
        name=labels.name,
        task=labels.task,
        architectures=labels.architectures,
        values=labels.values,
        champion=None if champion is None else champion.mean,
        candidate=candidate.predict_set(labels).mean,
        before=~split.new_held_out,
    )
