"""The hashes of published files: a file of another form is an error in one line."""

from pathlib import Path

import pytest

from orchestrator.errors import WeightsError
from orchestrator.weights.folder import WeightsFolder


@pytest.mark.parametrize("text", ["null", "[]", '"x"', '{"https://x": 3}', "{", "[" * 100_000])
def test_damaged_hashes(text: str, tmp_path: Path) -> None:
    (tmp_path / "hashes.json").write_text(text)
    with pytest.raises(WeightsError, match=r"hashes\.json: cannot be read .*: remove it"):
        WeightsFolder(tmp_path).known_hash("https://x")
