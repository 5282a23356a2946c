"""Seeds that depend on what is initialised, not on what was initialised before it."""

from __future__ import annotations

import hashlib

import torch


def seed_from_text(text: str) -> None:
    """Seed torch's generators with a hash of a text, which names what is initialised next."""
    digest = hashlib.sha256(text.encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
