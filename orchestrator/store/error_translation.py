"""Translate exceptions of Delta Lake and Arrow into one-line store errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from orchestrator.errors import StoreCorruptError, StoreError


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Raise exceptions of the table's libraries as StoreError (unreachable) or StoreCorruptError, in one line."""
    try:
        yield
    except (StoreError, CommitFailedError):
        raise
    except (PermissionError, ConnectionError, TimeoutError) as error:
        text = " ".join(str(error).split())[:300]
        raise StoreError(f"label store {uri}: cannot be reached ({text}): check rights and network") from error
    except (DeltaError, OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        text = " ".join(str(error).split())
        # Object stores report an outage as a plain OSError that starts with this text; the table itself is intact.
        if isinstance(error, OSError) and text.startswith("Generic "):
            raise StoreError(f"label store {uri}: {text[:300]}: check address, rights and network") from error
        raise StoreCorruptError(uri, text or type(error).__name__) from error
