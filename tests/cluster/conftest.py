"""The cluster of the tests: put up once, by the commands that users give."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.cluster_rig import Rig, missing


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Three machines after `ray up`."""
    if reason := missing():
        pytest.skip(f"NOT TESTED, no machines: {reason}")
    rig = Rig(tmp_path_factory.mktemp("rig"))
    began = time.monotonic()
    try:
        rig.start()
        rig.run("ray", "up", "--yes", "--no-config-cache", "cluster/rig.yaml")
        rig.wait_for_nodes(3)
        print(f"\nray up and three nodes there: {time.monotonic() - began:.0f} s")
        yield rig
    finally:
        rig.close()
