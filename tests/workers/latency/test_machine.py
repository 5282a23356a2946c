"""Names and cores of a machine, also where the system does not tell them."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.latency import machine


def test_the_model_of_the_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13 \nmodel name\t: other\n")
    assert machine.cpu_name(file) == "AMD EPYC 7B13"


def test_without_a_model_the_architecture(tmp_path: Path) -> None:
    assert machine.cpu_name(tmp_path / "missing")
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert machine.cpu_name(tmp_path / "cpuinfo")


def test_cores_are_at_least_one_and_at_most_the_cpus() -> None:
    assert 1 <= machine.available_cores() <= machine.available_cpus()


def test_two_threads_of_a_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(machine, "_quota", lambda _: None)
    monkeypatch.setattr(machine, "_topology", lambda cpu, name: "0" if name != "core_id" else str(cpu % 2))
    assert (machine.available_cpus(), machine.available_cores()) == (4, 2)


@pytest.mark.parametrize(
    ("text", "cpus"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("broken", 8), ("1 0", 8)]
)
def test_a_containers_limit(text: str, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.available_cpus() == cpus
