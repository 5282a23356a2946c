"""Give a reader one input: it must accept it or refuse it in one line, in bounded time and memory."""

from __future__ import annotations

import resource
import signal
import traceback
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from predictor.errors import AIOPError
from tests.fuzz.readers.reader import Read
from workers.errors import LabelFailure

SECONDS = 2.0  # of this process's CPU time, which other programs do not prolong
MEMORY = 2 * 2**30  # bytes of address space, in addition to what the process has
_LONGEST = 1500  # characters of a line
_ROOT = Path(__file__).parents[2]


class TooSlowError(BaseException):
    """An input took too long. No reader may catch it."""


class Fault(AssertionError):  # noqa: N818 - what a fuzz test finds
    """An input that a reader neither accepts nor refuses as it should. where: the innermost line of the project."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(f"{text} at {where}")
        self.where = where


def is_accepted(read: Read, given: Any) -> bool:
    """Return whether a reader accepts an input. Raises Fault."""
    try:
        with _bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(given)
    except (AIOPError, LabelFailure) as error:
        _check_message(error)
        return False
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Rust's panics are no exceptions
        text = " ".join(str(error).split())[:300]
        raise Fault(f"{type(error).__name__}: {text}", _innermost(error)) from error
    return True


@contextmanager
def _bounded() -> Iterator[None]:
    """Raise TooSlowError after some seconds, and let allocations fail that take too much memory."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"took more than {SECONDS} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    handler = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _check_message(error: Exception) -> None:
    """Raise Fault unless the text is short and can be printed. Only a list of problems has more than one line."""
    first, *more = str(error).split("\n")
    where = _innermost(error)
    if not first.strip():
        raise Fault(f"{type(error).__name__} without text", where)
    if len(more) > 21 or any(not line.startswith("  ") for line in more):
        raise Fault(f"{type(error).__name__} of {len(more) + 1} lines: {str(error)[:200]!r}", where)
    if longest := max((line for line in (first, *more) if len(line.strip()) > _LONGEST), key=len, default=""):
        raise Fault(f"{type(error).__name__} of {len(longest)} characters: {longest[:200]!r}", where)
    if odd := [c for c in str(error) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c != "\n"]:
        raise Fault(f"{type(error).__name__} with {odd[0]!r}: {str(error)[:200]!r}", where)


def _innermost(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(_ROOT) in frame.filename]
    own = [frame for frame in frames if "/tests/" not in frame.filename] or frames
    return f"{Path(own[-1].filename).relative_to(_ROOT)}:{own[-1].lineno}" if own else "?"
