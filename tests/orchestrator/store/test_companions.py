"""A training with labels for several tasks becomes a row per task, through spool and store."""

from dataclasses import replace
from pathlib import Path

from orchestrator.store.memory import MemoryLabelStore
from tests.support.store_reports import report as report_of
from workers.storage.folder_spool import FolderSpool


def test_every_companion_task_has_a_row(tmp_path: Path) -> None:
    report = report_of(0)
    measured = report.measurement
    assert measured is not None
    request = replace(report.job.request, also=("det", "seg"))
    other = replace(measured, value=0.25, metric="other", seconds={})
    report = replace(
        report,
        job=replace(report.job, request=request),
        measurement=replace(measured, also={"det": other, "seg": other}),
    )
    spool, store = FolderSpool(tmp_path), MemoryLabelStore()
    spool.put(report)
    assert spool.read() == [report]
    store.commit(spool.read())
    store.commit([report])
    rows = store.labels().to_pylist()
    assert {row["key"] for row in rows} == set(request.keys)
    assert sorted(row["task"] for row in rows) == sorted((request.task, "det", "seg"))
    assert store.attempts().num_rows == 1
