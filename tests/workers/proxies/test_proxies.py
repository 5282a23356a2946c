"""Zero-cost proxies: values by hand for one layer, repeatable, and finite for every task and extreme cells."""

import math

import pytest
import torch
from torch import Tensor, nn

from workers.messages.architecture import Architecture
from workers.messages.label import LabelJob, LabelRequest
from workers.messages.recipe import Recipe
from workers.proxies import Probe, ProxyEvaluator, proxy_families
from workers.tasks import get_task, task_names
from workers.training.full import Network

NAMES = {"depth", "naswot", "jacov", "synflow", "snip", "grad_norm", "fisher", "zico"}
CELL = ["nor_conv_3x3", "none", "nor_conv_1x1", "skip_connect", "none", "nor_conv_1x1"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def job(task: str, ops: list[str] = CELL, seed: int = 0) -> LabelJob:
    head = {"width": 16} if task not in {"cls", "seg"} else {}
    recipe = Recipe(name="tiny", task=task, input_size=(64, 64), train_images=24, eval_images=8, head=head)
    cell = Architecture.of("nasbench201", {"ops": ops})
    return LabelJob(LabelRequest(cell, task, "shapes:train=160,held_out=8", "f", "proxy", recipe, seed), "c")


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_all_scores(task: str) -> None:
    evaluator = ProxyEvaluator()
    first, repeated, other_seed = evaluator(job(task)), ProxyEvaluator()(job(task)), evaluator(job(task, seed=1))
    assert set(first.metrics) == NAMES
    assert first.metrics == repeated.metrics
    assert all(first.metrics[name] != other_seed.metrics[name] for name in NAMES - {"depth"})
    assert (first.metric, first.value) == ("naswot", first.metrics["naswot"])


@pytest.mark.parametrize("op", ["none", "skip_connect", "avg_pool_3x3", "nor_conv_3x3"])
def test_extreme_cells_have_finite_scores(op: str) -> None:
    scores = ProxyEvaluator()(job("seg", [op] * 6)).metrics
    assert all(math.isfinite(value) for value in scores.values())


def test_more_convolutions_increase_scores() -> None:
    small, large = (ProxyEvaluator()(job("seg", [op] * 6)).metrics for op in ("skip_connect", "nor_conv_3x3"))
    assert all(small[name] < large[name] for name in ("depth", "naswot", "synflow", "zico"))


class _Backbone(nn.Module):
    """A 1x1 convolution of the mean pixel, whose output is the pyramid."""

    def __init__(self, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.activation = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.activation(self.conv(images.mean((2, 3), keepdim=True)))]


class _Head(nn.Module):
    def forward(self, pyramid: list[Tensor]) -> Tensor:
        return pyramid[0].flatten(1)


def probe(weights: list[list[float]], pixels: list[list[float]], targets: list[int], relu: bool = True) -> Probe:
    """Return a probe whose images are constant, such that the mean pixels of the normalised images are `pixels`."""
    backbone = _Backbone(relu)
    with torch.no_grad():
        backbone.conv.weight.copy_(torch.tensor(weights)[..., None, None])
    images = (torch.tensor(pixels) * 60 + 118)[..., None, None].expand(-1, -1, 4, 4)
    parts = tuple((images[i : i + 1], torch.tensor(targets[i : i + 1])) for i in range(len(targets)))
    return Probe(Network(backbone, _Head()), get_task("cls"), images, parts)


def test_naswot_by_hand() -> None:
    # The images' activation patterns are 10, 11, 01: 2 agreements on the diagonal, 1 and 0 off it; plus 1.
    one_batch = probe([[1, 0, 0], [0, 1, 0]], [[1, -1, 0], [1, 1, 0], [-1, 1, 0]], [0, 0, 0])
    determinant = torch.linalg.det(torch.tensor([[3.0, 1, 0], [1, 3, 1], [0, 1, 3]]))
    assert proxy_families()["naswot"](one_batch)["naswot"] == pytest.approx(math.log(float(determinant)))


def test_synflow_by_hand() -> None:
    # The input is 1 and the absolute weights are 1 to 6: a weight times its gradient is the weight itself.
    one_batch = probe([[1, -2, 3], [-4, 5, 6]], [[0, 0, 0]], [0])
    assert proxy_families()["synflow"](one_batch)["synflow"] == pytest.approx(math.log1p(21))
    assert one_batch.network.body.conv.weight.min() == -4  # the network is unchanged


def test_saliency_by_hand() -> None:
    # Logits are 0, 0: their gradients for class 0 are -1/2, 1/2, and those of the weights are these times the pixel.
    one_batch = probe([[0, 0, 0], [0, 0, 0]], [[2, 0, 0], [4, 0, 0]], [0, 0], relu=False)
    scores = proxy_families()["saliency"](one_batch)
    assert scores["grad_norm"] == pytest.approx(math.log(math.sqrt(1.5**2 * 2)))  # means 1.5 and -1.5
    assert scores["zico"] == pytest.approx(math.log(2 * 1.5 / 0.5))  # each |gradient| is 1, then 2
    assert scores["fisher"] < -20  # zero weights: no activation
    assert scores["snip"] < -20
    ones = probe([[1, 0, 0], [1, 0, 0]], [[2, 0, 0]], [0], relu=False)
    scores = proxy_families()["saliency"](ones)
    assert scores["snip"] == pytest.approx(math.log(2))  # |1 * -1| + |1 * 1|
    assert scores["fisher"] == pytest.approx(0, abs=1e-6)  # activations 2 * gradients -1/2 and 1/2, squared, halved


def test_jacov_is_higher_for_uncorrelated_gradients() -> None:
    similar = probe([[1, 0, 0], [0, 1, 0]], [[1, 1, 0], [2, 2, 0], [3, 3, 0]], [0, 0, 0])
    different = probe([[1, 0, 0], [0, 1, 0]], [[1, -1, 0], [-1, 1, 0], [1, 1, 0]], [0, 0, 0])
    family = proxy_families()["jacov"]
    assert family(similar)["jacov"] < family(different)["jacov"]
