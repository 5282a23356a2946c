"""What goes wrong in a table's libraries, in the words of people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from orchestrator.errors import StoreCorruptError, StoreError


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise what a table's libraries raise as StoreError, in one line: out of reach, or StoreCorruptError."""
    try:
        yield
    except (StoreError, CommitFailedError):
        raise
    except (PermissionError, ConnectionError, TimeoutError) as error:
        text = " ".join(str(error).split())[:300]
        raise StoreError(f"label store {uri}: cannot be reached ({text}): check rights and network") from error
    except (DeltaError, OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        text = " ".join(str(error).split())
        # Object stores report an outage as a plain OSError with this text; nothing is broken then.
        if isinstance(error, OSError) and text.startswith("Generic "):
            raise StoreError(f"label store {uri}: {text[:300]}: check address, rights and network") from error
        raise StoreCorruptError(uri, text or type(error).__name__) from error
