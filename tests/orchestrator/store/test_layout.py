"""Where the spool and the artifacts of a store lie."""

from pathlib import Path

import pytest

from orchestrator.store.layout import artifacts_uri, absolute_uri, spool_uri


@pytest.mark.parametrize(
    ("store", "spool"),
    [
        ("/mnt/labels", "/mnt/labels/_spool"),
        ("file:///mnt/labels/", "/mnt/labels/_spool"),
        ("s3://bucket/labels/", "s3://bucket/labels/_spool"),
    ],
)
def test_what_belongs_to_a_store_is_in_it_so_that_all_machines_reach_it(store: str, spool: str) -> None:
    assert spool_uri(store) == spool
    assert artifacts_uri(store) == spool.replace("_spool", "_artifacts")


def test_a_store_is_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("labels") == absolute_uri("file://labels") == str(tmp_path / "labels")
    assert absolute_uri("/mnt/labels") == "/mnt/labels"
    assert absolute_uri("s3://bucket/labels") == "s3://bucket/labels"
