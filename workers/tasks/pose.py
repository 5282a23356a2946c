"""Human pose from given boxes, with the head of Simple Baselines (Xiao, Wu and Wei, ECCV 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.data.base import DataSet, Sample, Vocabulary
from workers.data.joint_names import limbs, mirror_order
from workers.errors import BadDataFailure, RecipeError
from workers.metrics.base import Metric
from workers.metrics.keypoint_metrics import KeypointMetric
from workers.targets.crop import CropWindow
from workers.targets.people import Crops, cut, join, locate
from workers.tasks.base import Task, Unit, plain_and_mirrored, register
from workers.tasks.drawing import enlarged, with_joints
from workers.tasks.keypoint_heatmaps import decode, heatmap_loss

_DEFAULTS = {"width": 256, "deconvolutions": 3, "sigma": 2.0, "laterals": False, "flip_test": False}


class _Classify(nn.Conv2d):
    """1x1 convolution that starts near zero, as published: most of a heatmap is."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.001)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class DeconvolutionHead(nn.Module):
    """Transposed convolutions from the coarsest level, each doubling the resolution, then one heatmap a joint.

    Pyramid to (N, J, H / stride, W / stride) in float32. laterals: finer levels are added on the way, as in a U-Net.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        joints: Sequence[str],
        *,
        width: int,
        deconvolutions: int,
        sigma: float,
        laterals: bool,
        flip_test: bool,
    ) -> None:
        super().__init__()
        self.sigma, self.flip_test = sigma, flip_test
        self.stride = strides[-1] >> deconvolutions
        self.deconvolutions = nn.ModuleList()
        self.laterals = nn.ModuleDict()  # by the position of the deconvolution whose output they are added to
        self._levels: dict[str, int] = {}
        for i in range(deconvolutions):
            self.deconvolutions.append(_doubling(width if i else channels[-1], width))
            stride = strides[-1] >> (i + 1)
            if laterals and stride in strides:
                self._levels[str(i)] = strides.index(stride)
                self.laterals[str(i)] = nn.Conv2d(channels[strides.index(stride)], width, 1)
        self.classify = _Classify(width if deconvolutions else channels[-1], len(joints), 1)
        self.mirror_order: Tensor
        self.register_buffer("mirror_order", torch.tensor(mirror_order(joints)), persistent=False)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Heatmaps."""
        x = pyramid[-1]
        for i, deconvolution in enumerate(self.deconvolutions):
            x = deconvolution(x)
            if str(i) in self._levels:
                x = x + self.laterals[str(i)](pyramid[self._levels[str(i)]])
        # In bfloat16 neighbours of the highest pixel would often be equal to it.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            heatmaps: Tensor = self.classify(x.float())
        return heatmaps


def _doubling(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


@register
class Pose(Task):
    """Joints of everyone whose box is given."""

    name, metric = "pose", "pck"

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Deconvolution head.

        Settings: `width` is its number of channels, `deconvolutions` their number, `sigma` the spread of a joint in
        heatmap pixels, `laterals` whether finer levels help, `flip_test` whether mirrored images are predicted too.
        """
        if unknown := set(settings) - set(_DEFAULTS):
            raise RecipeError(f"head setting '{min(unknown)}' is unknown to task pose: it has {', '.join(_DEFAULTS)}")
        chosen = {**_DEFAULTS, **settings}
        _check(chosen, strides[-1])
        if not vocabulary.joints:
            raise RecipeError("task pose needs joints, but the data set names none: choose data with keypoints")
        return DeconvolutionHead(channels, strides, vocabulary.joints, **chosen)

    def units(self, data: DataSet, split: str) -> Sequence[Unit]:
        """Everyone with a labelled joint."""
        return data.people(split)

    def example(self, sample: Sample, position: int, size: tuple[int, int]) -> tuple[Tensor, Crops]:
        """The person cut out, and where."""
        return cut(sample, position, size)

    def target(self, sample: Sample, size: tuple[int, int]) -> Crops:
        """That of the first person with joints."""
        for position, instance in enumerate(sample.instances):
            if instance.joints is not None:
                return locate(sample, position, size)
        raise BadDataFailure("a sample has no joints")

    def collate(self, targets: Sequence[Crops]) -> Crops:
        """One batch of crops."""
        return join(targets)

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: Crops) -> Tensor:
        """Squared error of the heatmaps of labelled joints. A mirrored left joint is the right one's truth."""
        assert isinstance(head, DeconvolutionHead)
        joints = target.joints[:, head.mirror_order] if target.mirrored else target.joints
        return heatmap_loss(head(pyramid), joints, head.stride, head.sigma)

    def evaluation_images(self, head: nn.Module, images: Tensor) -> Tensor:
        """With the flip test, the images and then the same mirrored."""
        assert isinstance(head, DeconvolutionHead)
        return torch.cat([images, images.flip(-1)]) if head.flip_test else images

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: Crops) -> Tensor:
        """(N, J, 5): x and y in the input, x and y in the image, score. Of `target`, only where the inputs lie is used.

        With the flip test, the pyramid is that of the N inputs, then of the N mirrored ones.
        """
        assert isinstance(head, DeconvolutionHead)
        heatmaps, count = head(pyramid), len(target.joints)
        if head.flip_test:
            plain, mirrored = plain_and_mirrored(heatmaps, count)
            heatmaps = (plain + mirrored[:, head.mirror_order]) / 2
        points, scores = decode(heatmaps, head.stride)
        return torch.cat([points, target.in_image(points), scores[..., None]], -1)

    def flip(self, target: Crops) -> Crops:
        """Mirrored joints; the loss swaps left and right, since only the head knows their names."""
        return target.mirror()

    def zoom(self, target: Crops, window: CropWindow) -> Crops:
        """Joints move; those left outside do not count."""
        return target.zoom(window)

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """PCK, PCKh and OKS AP."""
        return KeypointMetric(vocabulary)

    def pictures(
        self, images: Tensor, output: Tensor, target: Crops, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Joints and limbs of the person cut out; those annotated, and all of those predicted."""
        pairs, pairs_of_joints = [], limbs(vocabulary.joints)
        for image, points, joints in zip(images, output.float().cpu(), target.joints.cpu(), strict=True):
            large, factor = enlarged(image)
            truth = with_joints(large, joints[:, :2] * factor, pairs_of_joints, joints[:, 2] > 0)
            pairs.append((truth, with_joints(large, points[:, :2] * factor, pairs_of_joints)))
        return pairs


def _check(settings: Mapping[str, Any], coarsest: int) -> None:
    width, count, sigma = settings["width"], settings["deconvolutions"], settings["sigma"]
    if type(width) is not int or width < 1:
        raise RecipeError(f"head width {width}: must be a positive whole number of channels")
    if type(count) is not int or count < 0 or coarsest % 2**count:
        raise RecipeError(f"head deconvolutions {count}: must be so few that doublings of stride {coarsest} reach 1")
    if type(sigma) not in (int, float) or not sigma > 0:
        raise RecipeError(f"head sigma {sigma}: must be a positive number of heatmap pixels")
    for name in ("laterals", "flip_test"):
        if type(settings[name]) is not bool:
            raise RecipeError(f"head {name} {settings[name]}: must be true or false")
