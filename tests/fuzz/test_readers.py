"""Every reader of files and of users' texts accepts an input or refuses it in one line; nothing else happens.

`AIOP_FUZZ_EXAMPLES=N pytest -n 0 -s -m slow tests/fuzz` tries N inputs of each reader.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.one_input import Fault, is_accepted
from tests.fuzz.readers import READERS
from tests.fuzz.readers.reader import Reader

FEW = 15
MANY = int(os.environ.get("AIOP_FUZZ_EXAMPLES", "2000"))
NAMES = sorted(READERS)


def _settings(examples: int, *phases: Phase) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("name", NAMES)
def test_few_inputs(name: str, tmp_path: Path) -> None:
    reader = READERS[name]()
    read = reader.open(tmp_path)
    read(reader.valid)  # imports, too

    @_settings(max(2, round(FEW * reader.share)), Phase.generate, Phase.shrink)
    @given(reader.inputs())
    def try_input(content: Any) -> None:
        is_accepted(read, content)

    try_input()


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_many_inputs(name: str, tmp_path: Path) -> None:
    reader = READERS[name]()
    faults, counts, start = try_inputs(reader, tmp_path, max(2, round(MANY * reader.share)))
    seconds = time.perf_counter() - start
    print(f"\n{name}: {sum(counts)} inputs, {counts[1]} accepted, {counts[0]} refused, {seconds:.0f} s", flush=True)
    assert not faults, "\n".join(f"{fault}\n    input {content[:300]!r}" for fault, content in faults.values())


def try_inputs(reader: Reader, folder: Path, examples: int) -> tuple[dict[str, tuple[Fault, Any]], list[int], float]:
    """Return the faults by their place, each with the shortest input; how many inputs are refused and accepted."""
    read, start = reader.open(folder), time.perf_counter()
    read(reader.valid)
    faults, counts = dict[str, tuple[Fault, Any]](), [0, 0]

    @_settings(examples, Phase.generate)
    @given(reader.inputs())
    def try_input(content: Any) -> None:
        try:
            counts[is_accepted(read, content)] += 1
        except Fault as fault:
            kind = f"{str(fault)[:20]} {fault.where}"
            if kind not in faults or len(content) < len(faults[kind][1]):
                faults[kind] = fault, content

    try_input()
    return faults, counts, start
