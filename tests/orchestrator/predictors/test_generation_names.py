"""Names among the generations that are no numbers, though Python calls their characters digits."""

from pathlib import Path

from orchestrator.predictors.generations import champion_number, decided_numbers, generation_numbers


def test_other_digits_are_no_numbers(tmp_path: Path) -> None:
    for name in ("000002", "\u00b2", "\u0663"):
        (tmp_path / name).mkdir()
    (tmp_path / "latest").symlink_to("\u00b2")
    (tmp_path / "_decisions").mkdir()
    for name in ("000003", "\u00b2"):
        (tmp_path / f"_decisions/{name}.json").touch()
    assert generation_numbers(tmp_path) == [2]
    assert champion_number(tmp_path) is None
    assert decided_numbers(tmp_path) == [3]
