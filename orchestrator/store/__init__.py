"""The label store: its contract, implementations on Delta Lake and in memory, and the committer that fills it."""

from orchestrator.store.base import CommitResult, LabelStore
from orchestrator.store.committer import Committer
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.memory import MemoryLabelStore

__all__ = ["CommitResult", "Committer", "DeltaLabelStore", "LabelStore", "MemoryLabelStore"]
