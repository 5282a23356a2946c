"""Random faults at random moments of a campaign: nothing acknowledged is lost, nothing is doubled, and it ends.

AIOP_STORM=1000 python -m pytest -m slow -n 0 -s tests/orchestrator/campaign/test_storm.py

A failing seed is printed; AIOP_STORM_SEED=N draws the same faults.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from orchestrator.store.delta import DeltaLabelStore
from tests.support.killed_driver import requests
from tests.support.storm import Storm, small_disk

FAULTS = int(os.environ.get("AIOP_STORM", "40"))
SEED = int(os.environ.get("AIOP_STORM_SEED", "1"))
EVERY_S = 0.5
LABELS_A_FAULT = 12


@pytest.mark.slow
@pytest.mark.timeout(20 * FAULTS + 900)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_storm(tmp_path: Path) -> None:
    count = LABELS_A_FAULT * FAULTS + 300
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2)
        with small_disk(tmp_path / "store", megabytes=600) as store_folder:
            storm = Storm(store_folder, cluster, count, random.Random(SEED))
            print(f"\nseed {SEED}, {count} labels")
            end = storm.run(FAULTS, EVERY_S)
            print("\n".join(storm.by_kind()))
            print(
                f"{len(storm.faults)} faults, {storm.starts} drivers, {len(storm.damaged)} damaged reports, end {end}"
            )
            storm.check()
            store, wanted = DeltaLabelStore(str(store_folder)), requests(count)
            assert store.keys() == {request.key for request in wanted[5:]}
            assert store.finally_failed() == {request.key for request in wanted[:4]}
            assert len(storm.faults) == FAULTS, "the campaign ended before all faults: use more labels"
    finally:
        cluster.shutdown()
