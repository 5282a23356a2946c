"""Programs that are no dependencies read the tables, before and after a compaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from orchestrator.store import DeltaLabelStore
from tests.support.store_reports import report


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a merged file and two others."""
    opened = DeltaLabelStore(tmp_path)
    for seed in range(6):
        opened.commit([report(seed, task="pose" if seed % 3 else "seg", graph="")])
        if seed == 3:
            opened.compact()
    return tmp_path


def test_polars_reads_labels(store: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed: that it reads the store is not tested")
    rows = polars.scan_delta(str(store / "labels")).filter(polars.col("task") == "seg").select("seed").collect()
    assert sorted(rows["seed"].to_list()) == [0, 3]


def test_duckdb_reads_labels(store: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed: that it reads the store is not tested")
    labels = DeltaTable(store / "labels").to_pyarrow_dataset()  # duckdb finds the table under this name
    rows = duckdb.sql("select task, count(*), sum(seed) from labels group by task order by task").fetchall()
    assert labels.count_rows() == 6
    assert rows == [("pose", 4, 12), ("seg", 2, 3)]
