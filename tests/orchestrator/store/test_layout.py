"""The locations of a store's spool and artifacts."""

from pathlib import Path

import pytest

from orchestrator.store.layout import absolute_uri, artifacts_uri, spool_uri


@pytest.mark.parametrize(
    ("store", "spool"),
    [
        ("/mnt/labels", "/mnt/labels/_spool"),
        ("file:///mnt/labels/", "/mnt/labels/_spool"),
        ("s3://bucket/labels/", "s3://bucket/labels/_spool"),
    ],
)
def test_spool_and_artifacts_are_inside_the_store(store: str, spool: str) -> None:
    assert spool_uri(store) == spool
    assert artifacts_uri(store) == spool.replace("_spool", "_artifacts")


def test_local_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("labels") == absolute_uri("file://labels") == str(tmp_path / "labels")
    assert absolute_uri("/mnt/labels") == "/mnt/labels"
    assert absolute_uri("s3://bucket/labels") == "s3://bucket/labels"
