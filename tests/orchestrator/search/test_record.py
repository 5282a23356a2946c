"""Records of searches: the same contract in memory, in a folder and in an object store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.errors import StoreError
from orchestrator.search.record import Chosen, MemoryRecords, SearchRecord, SearchRecords, open_records, question_id

QUESTION = {"tasks": ["seg"], "limits": {"flops": [0.6, True]}}
RECORD = SearchRecord(
    QUESTION, ("a", "b"), 4, ((Chosen('{"x":1}', "best", 0.5, 0.1), Chosen('{"x":2}', "diverse")),), 7.5
)


@pytest.fixture(params=["memory", "folder", "s3"])
def records(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchRecords:
    if request.param == "memory":
        return MemoryRecords()
    if request.param == "folder":
        return open_records(str(tmp_path / "labels" / "_searches"))
    options: Mapping[str, str] = request.getfixturevalue("s3")
    for name, value in options.items():
        monkeypatch.setenv(name.upper(), value)
    return open_records(f"s3://labels/{tmp_path.name}/_searches")


class TestSearchRecords:
    def test_what_was_saved_is_loaded(self, records: SearchRecords) -> None:
        assert records.load(RECORD.id) is None
        records.save(RECORD)
        assert records.load(RECORD.id) == RECORD
        grown = RECORD.with_round([Chosen('{"x":3}', "front")])
        records.save(grown)
        assert records.load(RECORD.id) == grown
        assert (grown.id, grown.chosen) == (question_id(QUESTION), 3)

    def test_results_are_listed_by_their_ids(self, records: SearchRecords) -> None:
        assert records.results() == []
        records.save(RECORD)
        for name in ("b", "a", "b"):
            records.save_result(name, {"search": name, "labels": 3})
        assert [document["search"] for document in records.results()] == ["a", "b"]


def test_a_new_round_forgets_what_was_verified() -> None:
    verified = SearchRecord(QUESTION, (), 4, verified=("x",))
    assert verified.with_round([]).verified == ()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"version": 2}', RECORD.to_json()[:80], RECORD.to_json().replace("4", '"x"'), "[" * 100_000],
)
def test_a_damaged_record_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    records = open_records(str(tmp_path))
    (tmp_path / f"{RECORD.id}.json").write_text(text)
    with pytest.raises(StoreError, match=f"{RECORD.id}.json: cannot be read") as caught:
        records.load(RECORD.id)
    assert "\n" not in str(caught.value)


def test_a_damaged_result_is_an_error(tmp_path: Path) -> None:
    for text in ("[1]", '{"a":' * 100_000):
        (tmp_path / "a-result.json").write_text(text)
        with pytest.raises(StoreError, match=r"a-result\.json"):
            open_records(str(tmp_path)).results()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        open_records(str(tmp_path / "file" / "_searches")).save(RECORD)
