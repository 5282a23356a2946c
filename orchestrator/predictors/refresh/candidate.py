"""A candidate: the champion after a short lesson on what is new, and what both say of the hold-out. Free of Ray."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import StoreError
from orchestrator.predictors.generations import snapshot_of
from orchestrator.predictors.label_sets import KIND, Kind, kind_of, label_sets_of
from orchestrator.predictors.promotion import GENERATION, REPLAYED
from orchestrator.predictors.refresh.gate import HeldOut
from orchestrator.predictors.refresh.job import COMPARED, RefreshJob, write_compared
from orchestrator.predictors.refresh.outliers import judge
from orchestrator.predictors.snapshot import Snapshot
from orchestrator.predictors.snapshot_file import SnapshotError, read_snapshot, write_snapshot
from orchestrator.predictors.training import hold_out_report, parted, training_metadata
from orchestrator.store.delta import DeltaLabelStore
from predictor import Predictor
from predictor.label_set import LabelSet
from predictor.metadata import LearnedSet, RefreshOrigin
from predictor.models import NothingKnownError, Prediction
from predictor.networks.fitting import Checkpointer

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Part:
    """What is learnt of a set and what is held out, and which labels of each are new."""

    learnt: LabelSet
    tested: LabelSet
    fresh: Mask
    fresh_tested: Mask


def make_candidate(job: RefreshJob, folder: Path, checkpointer: Checkpointer, writes: bool = True) -> None:
    """Leave candidate, replay and comparison in `folder`, the comparison last. writes: whether this worker does.

    Raises ModelError for a champion that cannot learn more, StoreError and GenerationError for what cannot be read.
    """
    if (folder / COMPARED).exists():
        return
    champion, store = Predictor.load(job.champion), DeltaLabelStore(job.store)
    base, trouble = _base(job, champion, store)
    snapshot = base.grown(store, job.version)
    sets, left_out = label_sets_of(snapshot)
    new = _new_labels(base, snapshot)
    parts = {kind: _part(one, new[kind]) for kind, one in _as_known(sets, champion.metadata.sets).items()}
    told = {kind: _told(champion, part.tested) for kind, part in parts.items()}
    learnt, suspects = _believable(champion, {kind: part for kind, part in parts.items() if len(part.learnt)})
    metadata = replace(
        training_metadata(champion.metadata.model, job.store, job.version, learnt, left_out),
        refreshed=RefreshOrigin(
            champion=Path(job.champion).name, new_labels=sum(map(len, new.values())), snapshot_problem=trouble
        ),
        outliers=suspects,
    )
    fresh = [parts[kind].fresh for kind in learnt]
    candidate = champion.update(list(learnt.values()), fresh, metadata, checkpointer)
    if not writes:
        return
    hold_out = hold_out_report(candidate, [part.tested for part in parts.values()])
    candidate.metadata = replace(candidate.metadata, hold_out=hold_out)
    if not (folder / GENERATION).exists():
        candidate.save(folder / GENERATION)
    write_snapshot(folder / REPLAYED, snapshot)
    tested = {kind: part for kind, part in parts.items() if len(part.tested)}
    write_compared(folder, [_compared(part, told[kind], candidate) for kind, part in tested.items()])


def _base(job: RefreshJob, champion: Predictor, store: DeltaLabelStore) -> tuple[Snapshot, str | None]:
    """What the champion learnt from, and why it had to be read from the store, if so."""
    version = champion.metadata.version
    try:
        kept = read_snapshot(snapshot_of(Path(job.champion)))
        if kept.version == version:
            return kept, None
        trouble = f"of version {kept.version} of the store, the champion is of {version}"
    except SnapshotError as error:
        trouble = str(error)
    try:
        return Snapshot.nothing().grown(store, version), trouble
    except StoreError as error:  # no longer remembered: then all labels are as good as new
        return Snapshot.nothing(), f"{trouble}; {error}"


def _new_labels(base: Snapshot, snapshot: Snapshot) -> dict[Kind, set[str]]:
    """By kind, the architectures with new labels."""
    found: dict[Kind, set[str]] = defaultdict(set)
    for row in snapshot.rows.slice(len(base.rows)).select([*KIND, "genotype", "architecture"]).to_pylist():
        if row["fidelity"] != "proxy":
            found[kind_of(row)].add(row["architecture"])
    return found


def _as_known(sets: Mapping[Kind, LabelSet], known: Sequence[LearnedSet]) -> dict[Kind, LabelSet]:
    """Sets under the names that the champion knows them by: another recipe makes names longer."""
    names = {learned.kind: learned.name for learned in known if learned.kind}
    return {kind: replace(one, name=names.get(kind, one.name)) for kind, one in sets.items()}


def _part(one: LabelSet, new: Collection[str]) -> _Part:
    learnt, tested = parted(one)
    marks = (np.isin(part.architectures, np.array(sorted(new), np.str_)) for part in (learnt, tested))
    return _Part(learnt, tested, *marks)


def _told(champion: Predictor, asked: LabelSet) -> Prediction | None:
    """What the champion says of labels; None where it cannot tell their unit."""
    if not len(asked) or (asked.task, asked.data) not in champion.known:
        return None
    try:
        told = champion.predict_set(asked)
    except NothingKnownError:
        return None
    return told if np.isfinite(told.deviation).all() else None


def _believable(champion: Predictor, parts: Mapping[Kind, _Part]) -> tuple[dict[Kind, LabelSet], dict[str, list[str]]]:
    """What is to be learnt, and by set the architectures whose labels are hard to believe, held-out ones too.

    OutlierCheck are new labels of known sets, and again those that were suspect before.
    """
    before, known = champion.metadata.outliers, {learned.name for learned in champion.metadata.sets}
    learnt, suspects = {}, dict[str, list[str]]()
    for kind, part in parts.items():
        one = learnt[kind] = part.learnt
        earlier = np.array(before.get(one.name, []), np.str_)
        rows, rows_tested = (
            np.flatnonzero(fresh | np.isin(some.architectures, earlier))
            for some, fresh in ((one, part.fresh), (part.tested, part.fresh_tested))
        )
        asked = [one.take(rows), part.tested.take(rows_tested)]
        told = [_told(champion, some) for some in asked if len(some)]
        if one.name not in known or None in told or not told:
            continue
        fresh = np.concatenate([part.fresh[rows], part.fresh_tested[rows_tested]])
        judged = judge(_joined(told), np.concatenate([some.values for some in asked]), fresh)
        values = one.values.copy()
        values[rows] = judged.values[: len(rows)]
        learnt[kind] = replace(one, values=values)
        names = np.concatenate([some.architectures for some in asked])[judged.suspect]
        if len(names):
            suspects[one.name] = sorted(names.tolist())
    return learnt, suspects


def _joined(told: Sequence[Prediction | None]) -> Prediction:
    means, deviations = zip(*((one.mean, one.deviation) for one in told if one is not None), strict=True)
    return Prediction(np.concatenate(means), np.concatenate(deviations))


def _compared(part: _Part, champion: Prediction | None, candidate: Predictor) -> HeldOut:
    one, told = part.tested, None if champion is None else champion.mean
    mean = candidate.predict_set(one).mean
    return HeldOut(one.name, one.task, one.architectures, one.values, told, mean, ~part.fresh_tested)
