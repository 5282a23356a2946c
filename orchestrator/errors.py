"""Errors of the control plane that a user can mend."""

from __future__ import annotations

from predictor.errors import AIOPError


class ConfigError(AIOPError):
    """A campaign's configuration is not valid: names the field and the remedy."""


class PreparationError(AIOPError):
    """Shared weights or a shared head could not be made."""


class RefreshError(AIOPError):
    """A refresh whose training failed, again and again; the champion is as it was."""


class StoreError(AIOPError):
    """The label store cannot be reached or written: names the place and the remedy."""


class StoreSchemaError(StoreError):
    """The label store was written by a newer version of this project."""

    def __init__(self, where: str, found: int, known: int) -> None:
        super().__init__(
            f"label store {where}: has schema version {found}, this program knows up to {known}: "
            "upgrade aiop-orchestrator, or name another store"
        )


class StoreForgotError(StoreError):
    """The label store does not remember so old a version any more."""


class StoreCorruptError(StoreError):
    """The label store is there but is not readable as one."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"label store {where}: not readable ({' '.join(reason.split())[:300]}): "
            "restore it from a copy, or move it away to start a new one"
        )
