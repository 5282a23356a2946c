"""Policies for the number of workers. Separate from the failure policy, so that each can change alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pool:
    """The state that a policy decides on.

    workers: starting, idle and working ones. remaining: jobs that wait or run. capacity: how many workers of this
    campaign the empty cluster could hold; None if the executor has not reported it.
    """

    workers: int
    remaining: int
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Grow:
    """Start `count` more workers."""

    count: int


@dataclass(frozen=True, slots=True)
class Shrink:
    """End `count` workers that have no job."""

    count: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Change nothing."""


Resize = Grow | Shrink | Hold


class ScalingPolicy(Protocol):
    """Decides the size of the pool of workers."""

    def decide(self, pool: Pool) -> Resize:
        """Return the change to make; called after every event."""
        ...


@dataclass(frozen=True, slots=True)
class FixedWorkers:
    """Keeps `count` workers, but never more than there are jobs left."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"a campaign needs at least one worker, not {self.count}")

    def decide(self, pool: Pool) -> Resize:
        """Resize to `count`, or to the number of remaining jobs if that is less."""
        return _resize_to(min(self.count, pool.remaining), pool)


@dataclass(frozen=True, slots=True)
class ClusterWorkers:
    """Keeps as many workers as the cluster can hold, and as many again that wait for resources.

    An autoscaler adds nodes for the waiting workers, so a cluster at most doubles in one step. Without an autoscaler
    they cost nothing, and start on nodes that join.
    """

    min_waiting: int = 1  # workers that wait if the cluster can hold none yet

    def decide(self, pool: Pool) -> Resize:
        """Resize to twice the capacity, or to the number of remaining jobs if that is less."""
        if pool.capacity is None:
            return Hold()
        return _resize_to(min(pool.capacity + max(self.min_waiting, pool.capacity), pool.remaining), pool)


@dataclass(frozen=True, slots=True)
class ReservingPolicy:
    """Follows another policy but leaves the resources of `reserved()` workers free for other work.

    reserved: called at every decision; 0 while nothing else needs resources. While it is above 0, no worker waits for
    resources. Working workers finish their label first.
    """

    policy: ScalingPolicy
    reserved: Callable[[], int]

    def decide(self, pool: Pool) -> Resize:
        """Limit the other policy's choice to the capacity that is not reserved."""
        choice, reserved = self.policy.decide(pool), self.reserved()
        if not reserved or pool.capacity is None:
            return choice
        match choice:
            case Grow(count):
                wanted = pool.workers + count
            case Shrink(count):
                wanted = pool.workers - count
            case Hold():
                wanted = pool.workers
        return _resize_to(min(wanted, max(0, pool.capacity - reserved)), pool)


def _resize_to(wanted: int, pool: Pool) -> Resize:
    if wanted > pool.workers:
        return Grow(wanted - pool.workers)
    return Shrink(pool.workers - wanted) if wanted < pool.workers else Hold()
