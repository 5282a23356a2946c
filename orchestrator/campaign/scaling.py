"""How many workers a campaign keeps. Apart from failures, so that either can change alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pool:
    """What a policy decides about.

    workers: those starting, idle and at work. remaining: jobs that wait or run. room: workers of this campaign that the
    cluster could hold, were it empty; None where the executor has not said.
    """

    workers: int
    remaining: int
    room: int | None = None


@dataclass(frozen=True, slots=True)
class Grow:
    """Start so many workers."""

    count: int


@dataclass(frozen=True, slots=True)
class Shrink:
    """End so many workers, but none at work."""

    count: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Change nothing."""


Resize = Grow | Shrink | Hold


class ScalingPolicy(Protocol):
    """Says what is to become of the pool."""

    def decide(self, pool: Pool) -> Resize:
        """Asked after every event."""
        ...


@dataclass(frozen=True, slots=True)
class FixedWorkers:
    """Always `count` workers, but never more than there are jobs left."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"a campaign needs at least one worker, not {self.count}")

    def decide(self, pool: Pool) -> Resize:
        """Towards `count`, or what remains if that is less."""
        return _towards(min(self.count, pool.remaining), pool)


@dataclass(frozen=True, slots=True)
class ClusterWorkers:
    """As many workers as the cluster has room for, and as many again that wait for room.

    Those that wait are what an autoscaler adds nodes for, so that a cluster at most doubles at once. Where none does,
    they start on nodes that join, and cost nothing.
    """

    least: int = 1  # that wait, in a cluster that has no room yet

    def decide(self, pool: Pool) -> Resize:
        """Towards twice the room, or what remains if that is less."""
        if pool.room is None:
            return Hold()
        return _towards(min(pool.room + max(self.least, pool.room), pool.remaining), pool)


@dataclass(frozen=True, slots=True)
class ReservingPolicy:
    """As another policy says, but for `reserved` workers fewer than there is room for, none of them waiting for room.

    held: asked every time; 0 while nothing else needs room. Who is at work ends its label first.
    """

    policy: ScalingPolicy
    reserved: Callable[[], int]

    def decide(self, pool: Pool) -> Resize:
        """The other policy's choice, held down."""
        choice, reserved = self.policy.decide(pool), self.reserved()
        if not reserved or pool.room is None:
            return choice
        match choice:
            case Grow(count):
                wanted = pool.workers + count
            case Shrink(count):
                wanted = pool.workers - count
            case Hold():
                wanted = pool.workers
        return _towards(min(wanted, max(0, pool.room - reserved)), pool)


def _towards(wanted: int, pool: Pool) -> Resize:
    if wanted > pool.workers:
        return Grow(wanted - pool.workers)
    return Shrink(pool.workers - wanted) if wanted < pool.workers else Hold()
