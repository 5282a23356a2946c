"""Errors of the orchestrator that a user can fix. Messages name the cause and the remedy."""

from __future__ import annotations

from predictor.errors import AIOPError


class ConfigError(AIOPError):
    """An option or a campaign's configuration is not valid."""


class WeightsError(AIOPError):
    """Published weights cannot be fetched, or a checkpoint cannot be converted."""


class PreparationError(AIOPError):
    """Shared weights or a shared head could not be trained."""


class RefreshError(AIOPError):
    """The training of a refresh failed, also after restarts; the champion is unchanged."""


class StoreError(AIOPError):
    """The label store cannot be reached or written."""


class StoreSchemaError(StoreError):
    """The label store was written by a newer version of this project."""

    def __init__(self, where: str, found: int, known: int) -> None:
        super().__init__(
            f"label store {where}: has schema version {found}, this program knows up to {known}: "
            "upgrade aiop-orchestrator, or name another store"
        )


class StoreVacuumedError(StoreError):
    """An old version of the label store was vacuumed and can no longer be read."""


class StoreCorruptError(StoreError):
    """The label store exists but cannot be read as one."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"label store {where}: not readable ({' '.join(reason.split())[:300]}): "
            "restore it from a copy, or move it away to start a new one"
        )
