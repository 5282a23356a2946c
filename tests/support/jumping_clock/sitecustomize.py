"""Python with this folder on PYTHONPATH adds the seconds in the file $AIOP_TEST_CLOCK to the time of day.

Only `time.time` and `time.time_ns`: the monotonic clock does not jump, nor does a real machine's.
"""

import os
import time

_time_ns = time.time_ns


def _offset_s() -> float:
    try:
        with open(os.environ["AIOP_TEST_CLOCK"], encoding="utf-8") as file:
            return float(file.read())
    except (OSError, ValueError):  # the file is being written
        return 0.0


def _time() -> float:
    return _now_ns() / 1e9


def _now_ns() -> int:
    return _time_ns() + int(_offset_s() * 1e9)


if "AIOP_TEST_CLOCK" in os.environ:
    time.time, time.time_ns = _time, _now_ns
