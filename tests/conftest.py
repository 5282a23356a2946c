"""One Ray for the whole test session: starting it takes seconds. Tests that share it run in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.object_store_server"]
os.environ["RAY_AUTH_MODE"] = "disabled"  # before Ray is imported, else it writes a token to the home directory
# Each test process would start joblib's, which import torch. A test of several processes sets another number.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")
_ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all tests that need Ray on the same one of pytest-xdist's processes."""
    for item in items:
        if "ray_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session", autouse=True)
def _decoded_images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep decoded images of the tests apart; Ray's processes inherit the variable."""
    os.environ["AIOP_CACHE"] = str(tmp_path_factory.mktemp("decoded"))


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with 4 logical CPUs whose workers can import the project and the fakes of these tests."""
    import ray

    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # Ray's processes inherit it
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    yield
    ray.shutdown()
