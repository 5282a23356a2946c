"""The folder of generations: numbered predictors, of which `latest` points to the champion, the generation in use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from orchestrator.errors import ConfigError
from predictor.atomic_write import replace_symlink
from predictor.errors import write_problem
from predictor.metadata import HoldOutScores

LATEST, PINNED = "latest", "pinned"  # links to generations
SHIPPED = "shipped"  # the generation of the package, which each node has in its own place
# Folders next to the generations. Snapshots are stored in "_replay".
TRAINING, SNAPSHOTS, DECISIONS = "_training", "_replay", "_decisions"


def generation_numbers(folder: Path) -> list[int]:
    """Return the numbers of all generations in ascending order."""
    return sorted(int(path.name) for path in folder.iterdir() if _is_number(path.name)) if folder.is_dir() else []


def generation_folder(folder: Path, number: int) -> Path:
    """Return the folder of one generation."""
    return folder / f"{number:06d}"


def next_generation(folder: Path) -> Path:
    """Return the folder of the next generation. Numbers of refused candidates are not used again."""
    return generation_folder(folder, max([*generation_numbers(folder), *decided_numbers(folder)], default=0) + 1)


def decided_numbers(folder: Path) -> list[int]:
    """Return the numbers of all candidates that were decided on, refused ones included, in ascending order."""
    return sorted(int(path.stem) for path in (folder / DECISIONS).glob("*.json") if _is_number(path.stem))


def publish(generation: Path) -> None:
    """Point `latest` to a generation. Readers always find the previous or the new one."""
    replace_symlink(generation.with_name(LATEST), generation.name)


def champion_number(folder: Path) -> int | None:
    """Return the number of the champion; None if there is none."""
    return _linked_number(folder / LATEST)


def pinned_number(folder: Path) -> int | None:
    """Return the number of the pinned generation, which stays champion; None if none is pinned."""
    return _linked_number(folder / PINNED)


def pin(generation: Path) -> None:
    """Make a generation champion until `unpin`."""
    replace_symlink(generation.with_name(PINNED), generation.name)
    publish(generation)


def unpin(folder: Path) -> None:
    """Allow newer generations to become champion again."""
    (folder / PINNED).unlink(missing_ok=True)


def drop_other_checkpoints(checkpoints: Path) -> None:
    """Remove checkpoints of trainings on older store versions or older champions, which no training resumes."""
    for other in checkpoints.parent.iterdir():
        if other.is_dir() and other != checkpoints:
            shutil.rmtree(other, ignore_errors=True)


def snapshot_folder(generation: Path) -> Path:
    """Return the folder of the snapshot that a generation was trained on."""
    return generation.parent / SNAPSHOTS / generation.name


def drop_other_snapshots(generation: Path) -> None:
    """Remove all snapshots except the champion's: they fill the disk, and can be read from the store again."""
    for other in (generation.parent / SNAPSHOTS).glob("*"):
        if other != snapshot_folder(generation):
            shutil.rmtree(other, ignore_errors=True)


def pooled_score(hold_out: Sequence[HoldOutScores]) -> float | None:
    """Return the mean rank correlation of the label sets, weighted by their tested labels; None if there are none."""
    tested = sum(row.tested for row in hold_out)
    return sum(row.tested * row.spearman for row in hold_out) / tested if tested else None


@contextmanager
def write_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of generations, which is created if missing.

    Raises ConfigError if another process holds the lock or the folder cannot be written.
    """
    try:
        (folder / TRAINING).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--predictors {folder}: {write_problem(error, 'name a folder that can be written')}"
        ) from None
    lock = FileLock(folder / TRAINING / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"--predictors {folder}: another training or refresh writes to it: wait for it, or name another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _linked_number(link: Path) -> int | None:
    try:
        name = os.readlink(link)
    except OSError:
        return None
    return int(name) if _is_number(name) else None


def _is_number(name: str) -> bool:
    """Return whether `int` reads a name; there are digits that it does not."""
    return name.isascii() and name.isdigit()
