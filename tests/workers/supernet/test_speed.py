"""Host time and memory of a step of latent sampling, without the networks' own computation."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from statistics import median

import pytest
import torch
from torch import nn

from tests.support.splits import image_split
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.shared_weights import SharedWeights
from workers.supernet.backbones import SharedBackbones, build_without_head
from workers.supernet.strata import DepthStrata

pytestmark = pytest.mark.slow
STRATA, STEPS, FILLING, MAX_MS, CALIBRATION_IMAGES = 5, 40, 300, 20, 32


def milliseconds(part: Callable[[int], object]) -> float:
    """Return the median processor time of a step."""
    times = []
    for step in range(STEPS):
        began = time.process_time()
        part(step)
        times.append(time.process_time() - began)
    return median(times) * 1000


def bytes_of(network: nn.Module, *, shared: set[int]) -> int:
    """Return the memory of a network's tensors that are no views of the shared weights."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in network.state_dict().values()
    }
    return sum(storage.nbytes() for pointer, storage in storages.items() if pointer not in shared)


@pytest.mark.parametrize("name", ["mobilenetv3", "proxylessnas", "resnet50"])
def test_a_step_of_latent_sampling(name: str) -> None:
    torch.set_num_threads(1)
    space = get_space(name)
    shared = SharedWeights(space, [(a, build_without_head(a, {})) for a in space.covering_architectures()])
    images = image_split(f"shapes:train={CALIBRATION_IMAGES},held_out=2", "seg", (32, 32))
    views, calibrated = (
        SharedBackbones(shared, {}, images, range(count), CALIBRATION_IMAGES, torch.channels_last)
        for count in (0, CALIBRATION_IMAGES)
    )
    strata, rng = DepthStrata(space, STRATA, 0), random.Random(0)
    architectures = list(itertools.islice(space.sequence(0), STEPS))
    for _ in range(FILLING):  # the caches of blocks
        strata.sample(0)
        views._skeletons.build(space.sample(rng))

    def copy_weights(step: int) -> None:
        """Build a network with copied weights."""
        views.initialise(architectures[step], build_without_head(architectures[step], {}).body)

    def build_to_count(step: int) -> int:
        """Sample a network of a stratum, building each candidate."""
        while True:
            architecture: Architecture = space.sample(rng)
            with torch.device("meta"):
                network = space.build(architecture)
            if strata.stratum_of(sum(isinstance(m, nn.Conv2d) for m in network.modules())) == step % STRATA:
                return step

    sampling = milliseconds(lambda step: strata.sample(step % STRATA))
    building = milliseconds(lambda step: views(architectures[step]))
    calibrated._skeletons = views._skeletons
    calibrating = milliseconds(lambda step: calibrated(architectures[step])) - building
    copying, counting = milliseconds(copy_weights), milliseconds(build_to_count)
    (largest,) = space.covering_architectures()
    owned = {weight.untyped_storage().data_ptr() for weight in shared.weights.values()}
    own, copied = bytes_of(views(largest), shared=owned), bytes_of(build_without_head(largest, {}).body, shared=set())
    print(
        f"\n{name}: sampling {sampling:.1f} ms + building {building:.1f} ms a step; with copied weights "
        f"{counting:.1f} + {copying:.1f} ms; calibration on {CALIBRATION_IMAGES} images of 32x32 {calibrating:.1f} ms; "
        f"memory of the largest member {own / 2**20:.2f} MiB instead of {copied / 2**20:.1f} MiB"
    )
    assert sampling + building < MAX_MS
    assert own < copied / 50
