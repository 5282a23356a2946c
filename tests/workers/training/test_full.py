"""Training and evaluation on tiny budgets: learning, determinism, accumulation, divergence, metrics by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from predictor.graph import Graph
from tests.support.once_for_all_files import FILES
from tests.support.splits import image_split
from workers.data import VOID, Vocabulary
from workers.errors import DivergedFailure, RecipeError
from workers.messages.architecture import Architecture
from workers.messages.evaluator_options import EvaluatorOptions
from workers.messages.label import LabelJob, LabelRequest, Measurement
from workers.messages.recipe import Recipe
from workers.spaces import get_space
from workers.spaces.weights_file import body_fingerprint
from workers.targets.label_maps import LabelMaps
from workers.tasks import get_task, task_names
from workers.training.full import FullEvaluator, Network, build_network, train_network

OPS = ["nor_conv_3x3", "none", "nor_conv_1x1", "skip_connect", "none", "nor_conv_1x1"]
TINY = {"input_size": (64, 64), "steps": 30, "batch": 8, "ema": 0.8, "train_images": 64, "eval_images": 32}


@pytest.fixture(autouse=True)
def _single_thread() -> None:
    torch.set_num_threads(1)


def vocabulary(classes: int) -> Vocabulary:
    return Vocabulary(tuple(f"class {i}" for i in range(classes)), classes)


def job(task: str, split: int = 1, seed: int = 0, **changes: object) -> LabelJob:
    # Detectors and deconvolutions have 256 channels by default.
    small = {"head": {"width": 16}, "steps": 8, "batch": 4} if task in {"det", "iseg", "pano", "pose"} else {}
    recipe = Recipe.model_validate({"name": "tiny", "task": task, **TINY, **small, **changes})
    architecture = Architecture.of("nasbench201", {"ops": OPS})
    data = "shapes:train=160,held_out=64" if task == "pose" else "shapes"  # people are counted in all images
    return LabelJob(LabelRequest(architecture, task, data, "f", "full", recipe, seed), "c", split=split)


@pytest.mark.parametrize("task", task_names())
def test_a_label_is_complete_and_repeatable(task: str, tmp_path: Path) -> None:
    evaluator = FullEvaluator(EvaluatorOptions(images_folder=str(tmp_path), save_images=2))
    first, again, other = evaluator(job(task)), FullEvaluator()(job(task)), evaluator(job(task, seed=1))
    folders = [tmp_path / f"{task}-{label.request.key}" for label in (job(task), job(task, seed=1))]
    assert sorted(tmp_path.rglob("*.png")) == sorted(folder / f"{i}.png" for folder in folders for i in range(2))
    first_picture, second_picture = (np.asarray(Image.open(folder / "0.png")) for folder in folders)
    half = first_picture.shape[1] // 2 - 2
    annotated, predicted = first_picture[:, :half], first_picture[:, half + 4 :]
    assert np.array_equal(annotated, second_picture[:, :half])  # annotations do not depend on the network
    assert not np.array_equal(annotated, predicted) or task in {
        "det",
        "iseg",
    }  # these may detect nothing
    assert first.value == first.metrics[get_task(task).metric] == again.value
    assert first.metrics == again.metrics
    # Eight steps may leave a detector at an average precision of 0 for every seed.
    assert first.metrics != other.metrics or task in {"det", "iseg", "pano"}
    assert set(first.seconds) == {"data", "build", "train", "evaluate"}
    graph = Graph.from_json(first.graph)
    assert (graph.flops, graph.params) == (first.flops, first.params)
    assert first.flops > 0
    assert first.graph == other.graph
    assert "other" not in {node.op for node in graph.nodes}


def test_training_beats_the_most_frequent_class() -> None:
    label_job = job("seg", steps=200, ema=0.9, train_images=256)
    measured: Measurement = FullEvaluator()(label_job)
    target = image_split("shapes", "seg", (64, 64), training=False, limit=32).batch(range(32)).target
    counts = torch.bincount(torch.stack(target.maps).flatten().long(), minlength=256)[:VOID]
    constant = counts.max() / counts.sum() / (counts > 0).sum()
    assert measured.value > 2 * float(constant)


def test_random_crops_change_a_label_and_its_key() -> None:
    whole, cut = job("seg", zoom=1.0), job("seg", zoom=0.5)
    assert whole.request.key == job("seg").request.key != cut.request.key
    first, again, plain = FullEvaluator()(cut), FullEvaluator()(cut), FullEvaluator()(whole)
    assert first.metrics == again.metrics != plain.metrics


def test_accumulation_gives_the_gradient_of_the_whole_batch() -> None:
    recipe = job("seg", steps=5, ema=0).request.recipe
    ends = []
    for split in (1, 2):
        torch.manual_seed(0)
        # Without batch statistics the parts of a batch do not depend on each other.
        network = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 10, 1))
        inputs = Network(_Scaled(), network)
        train = image_split("shapes", "seg", (64, 64), limit=32, batch=recipe.batch)
        ends.append(train_network(inputs, train, recipe, 0, split).state_dict())
    for one, two in zip(ends[0].values(), ends[1].values(), strict=True):
        # Parts hold different numbers of void pixels, so their means differ slightly from the whole's.
        assert torch.allclose(one, two, atol=5e-3)


class _Scaled(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


def test_divergence_is_a_failure_with_a_remedy() -> None:
    with pytest.raises(DivergedFailure, match="lower the learning rate"):
        FullEvaluator()(job("cls", lr=1e30, clip_norm=1e30, warmup=0.0))


def test_overlap_metric_against_a_count_by_hand() -> None:
    build_metric = get_task("seg").build_metric(vocabulary(3))
    target = torch.tensor([[[0, 0, 1, 1], [0, VOID, 1, 1]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 1], [0, 2, 1, 0]]])
    build_metric.update(
        nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2).float(), LabelMaps(tuple(target), (2, 4), ((2, 4),))
    )
    metrics = build_metric.compute()
    # Class 0: 2 of 4 in the union; class 1: 3 of 5; class 2 is not in the targets.
    assert metrics["miou"] == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert metrics["pixel_accuracy"] == pytest.approx(5 / 7)
    assert metrics["frequency_weighted_iou"] == pytest.approx((3 * 2 / 4 + 4 * 3 / 5) / 7)


@pytest.mark.parametrize("task", task_names())
def test_unknown_head_settings_are_refused(task: str) -> None:
    with pytest.raises(RecipeError, match="nonsense"):
        get_task(task).build_head((8, 16), (4, 8), vocabulary(3), {"nonsense": 1})


@pytest.mark.parametrize("task", ["det", "iseg", "pano"])
def test_detectors_refuse_other_levels(task: str) -> None:
    with pytest.raises(
        RecipeError, match=rf"task {task}: its head needs levels of strides \(4, 8, 16, 32\), not \(8, 16\)"
    ):
        get_task(task).build_head((8, 16), (8, 16), vocabulary(3), {"width": 16})


def test_heads_take_the_pyramid_of_every_space() -> None:
    for name in ("nasbench201", "mobilenetv3"):
        body = get_space(name).build(next(get_space(name).sequence(0)))
        with torch.no_grad():
            pyramid = body.eval()(torch.zeros(1, 3, 64, 96))
        seg = get_task("seg").build_head(body.channels, body.strides, vocabulary(5), {})
        assert seg(pyramid).shape == (1, 5, 16, 24)
        assert get_task("cls").build_head(body.channels, body.strides, vocabulary(5), {})(pyramid).shape == (1, 5)


def test_one_panoptic_run_gives_four_labels() -> None:
    pano = job("pano")
    alone = FullEvaluator()(pano)
    request = replace(pano.request, also=("det", "iseg", "seg"))
    together = FullEvaluator()(replace(pano, request=request))
    assert together.metrics == alone.metrics
    assert alone.also == {}
    assert {t: m.metric for t, m in together.also.items()} == {"det": "box_ap", "iseg": "mask_ap", "seg": "miou"}
    # A task costs what its own heads cost.
    assert together.also["seg"].flops < together.also["iseg"].flops < together.flops
    assert together.also["det"].params < together.also["iseg"].params < together.params
    assert len({request.key, *request.keys}) == 4
    assert request.key == pano.request.key


@pytest.mark.parametrize("task", ["pose", "seg"])
def test_a_label_with_the_flip_test(task: str) -> None:
    plain, flipped = (FullEvaluator()(job(task, head={"width": 16, "flip_test": on})) for on in (False, True))
    # The same training; only what is averaged at the end differs.
    assert set(flipped.metrics) == set(plain.metrics)
    assert flipped.metrics != plain.metrics
    assert flipped.flops == plain.flops


def test_steps_beyond_the_passes_go_to_further_trainings() -> None:
    long, short = job("seg", steps=16, passes=1.0, ema=0.5, seed=1), {"steps": 8, "ema": 0.5}
    both = FullEvaluator()(long)
    alone = [FullEvaluator()(job("seg", seed=seed, **short)).metrics for seed in (2, 3)]
    values = [metrics["miou"] for metrics in alone]
    assert values[0] != values[1]
    assert both.value == pytest.approx(sum(values) / 2)
    assert both.metrics.pop("miou_deviation") == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert both.metrics == {name: pytest.approx((alone[0][name] + alone[1][name]) / 2) for name in alone[0]}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "ofa.safetensors"
    save_file(FILES["mobilenetv3"][0](), path)
    return path


class TestPretrainedBackbones:
    """A published Once-for-All file at fidelity full."""

    def job(self, published: Path) -> LabelJob:
        body = {"width": 1.0, "pretrained": str(published)}
        fields = {**TINY, "steps": 1, "batch": 4, "ema": 0, "train_images": 16, "eval_images": 4}
        recipe = Recipe.model_validate({"name": "t", "task": "seg", "body": body, **fields})
        recipe = recipe.model_copy(update={"body_fingerprint": body_fingerprint(body)})
        smallest = get_space("mobilenetv3").smallest_architecture()
        assert smallest is not None
        return LabelJob(LabelRequest(smallest, "seg", "shapes", "f", "full", recipe, 0), "c")

    def test_training_starts_from_the_file_with_calibrated_statistics(self, published: Path) -> None:
        request = self.job(published).request
        task, train = get_task("seg"), image_split("shapes", "seg", (64, 64), training=True, limit=16)
        network = build_network(request.architecture, request.recipe, task, vocabulary(4))
        before = {name: value.clone() for name, value in network.body.state_dict().items()}
        FullEvaluator().set_initial_weights(network, request, task, vocabulary(4), train)
        found = network.body.state_dict()
        statistics = {name for name in found if "running" in name or "num_batches" in name}
        assert all(torch.equal(found[name], before[name]) for name in found.keys() - statistics)
        images = network.normalise(train.batch(range(16)).images)
        inputs = network.body.stem[0].conv(images)
        assert torch.allclose(found["stem.0.bn1.running_mean"], inputs.mean((0, 2, 3)), atol=1e-5)

    def test_a_label_is_made(self, published: Path) -> None:
        measured = FullEvaluator()(self.job(published))
        assert 0 <= measured.value <= 1
        assert measured.params > 0

    def test_another_file_than_planned_is_refused(self, published: Path, tmp_path: Path) -> None:
        job = self.job(published)
        other = tmp_path / "other.safetensors"
        save_file({"x": torch.zeros(1)}, other)
        body = {**job.request.recipe.body, "pretrained": str(other)}
        recipe = job.request.recipe.model_copy(update={"body": body})
        changed = replace(job, request=replace(job.request, recipe=recipe))
        with pytest.raises(RecipeError, match="is another file than when the label was planned"):
            FullEvaluator()(changed)
