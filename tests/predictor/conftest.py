"""Networks of these tests are too small to gain from threads, which wait for each other where the machine is busy."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
