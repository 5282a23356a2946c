"""The labels of a store by key, to compare the stores of two campaigns."""

from __future__ import annotations

from pathlib import Path

from orchestrator.store.delta import DeltaLabelStore


def stored_values(folder: Path) -> dict[str, float]:
    """Return each label's value by key."""
    rows = DeltaLabelStore(str(folder)).labels()
    return dict(zip(rows.column("key").to_pylist(), rows.column("value").to_pylist(), strict=True))
