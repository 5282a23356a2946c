"""Generations of the predictor in one folder: numbered, and `latest` points to the one that is used, the champion."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from orchestrator.errors import ConfigError
from predictor.metadata import HoldOutScores

LATEST, PINNED = "latest", "pinned"
TRAINING, REPLAY, DECISIONS = "_training", "_replay", "_decisions"  # beside the generations


def generation_numbers(folder: Path) -> list[int]:
    """Those there are, in order."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def place_of(folder: Path, number: int) -> Path:
    """Where a generation lies."""
    return folder / f"{number:06d}"


def next_generation(folder: Path) -> Path:
    """The folder after the highest number there is, be it of a candidate that was refused."""
    refused = [int(path.stem) for path in (folder / DECISIONS).glob("*.json") if path.stem.isdigit()]
    return place_of(folder, max([*generation_numbers(folder), *refused], default=0) + 1)


def publish(generation: Path) -> None:
    """Let `latest` point to a generation. Readers find the one before or this one, never none."""
    _point(generation.with_name(LATEST), generation.name)


def champion(folder: Path) -> int | None:
    """Number of the generation that `latest` points to."""
    return _pointed(folder / LATEST)


def pinned(folder: Path) -> int | None:
    """Number of the generation that stays champion whatever is learnt."""
    return _pointed(folder / PINNED)


def pin(generation: Path) -> None:
    """Make a generation champion, and keep it that."""
    _point(generation.with_name(PINNED), generation.name)
    publish(generation)


def unpin(folder: Path) -> None:
    """Let the next good generation become champion."""
    (folder / PINNED).unlink(missing_ok=True)


def drop_other_checkpoints(checkpointer: Path) -> None:
    """Those of older versions of the store, or on older champions: nobody goes on with them."""
    for other in checkpointer.parent.iterdir():
        if other.is_dir() and other != checkpointer:
            shutil.rmtree(other, ignore_errors=True)


def snapshot_of(generation: Path) -> Path:
    """Where what a generation learnt from is kept."""
    return generation.parent / REPLAY / generation.name


def drop_other_snapshots(generation: Path) -> None:
    """All but that of the champion: one for each would fill the disk, and any can be read from the store again."""
    for other in (generation.parent / REPLAY).glob("*"):
        if other != snapshot_of(generation):
            shutil.rmtree(other, ignore_errors=True)


def pooled_score(hold_out: Sequence[HoldOutScores]) -> float | None:
    """One figure of a hold-out report: the mean rank correlation of its sets, each weighted by its tested labels."""
    tested = sum(row.tested for row in hold_out)
    return sum(row.tested * row.spearman for row in hold_out) / tested if tested else None


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Alone among all that write generations. Raises ConfigError in one line where another does, or nobody may."""
    try:
        (folder / TRAINING).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror or error}: name a folder that can be written") from None
    lock = FileLock(folder / TRAINING / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"--out {folder}: another training or refresh writes to it: wait for it, or name another"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _point(link: Path, target: str) -> None:
    partial = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
    partial.symlink_to(target)
    os.replace(partial, link)


def _pointed(link: Path) -> int | None:
    try:
        name = os.readlink(link)
    except OSError:
        return None
    return int(name) if name.isdigit() else None
