"""Human pose estimation from given boxes, with the head of Simple Baselines (Xiao, Wu and Wei, ECCV 2018)."""

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
from workers.targets.example import Example
from workers.targets.frame import Frame, Size
from workers.targets.people import PersonCrops, crop_person, locate_person, stack_people
from workers.targets.view import View
from workers.tasks.base import ExampleRef, Task, register
from workers.tasks.drawing import enlarge, with_joints
from workers.tasks.flip_test import append_flipped, split_flipped
from workers.tasks.keypoint_heatmaps import decode_heatmaps, heatmap_loss

_DEFAULT_SETTINGS = {
    "width": 256,
    "deconvolutions": 3,
    "sigma": 2.0,
    "laterals": False,
    "flip_test": False,
    "init": "torch",
    "outside": False,
    "mean_loss": False,
}


class _Classify(nn.Conv2d):
    """1x1 convolution initialised near zero, as published, since heatmaps are mostly zero."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.001)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class _Deconvolution(nn.ConvTranspose2d):
    """Transposed convolution initialised near zero, as published."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.001)


class DeconvolutionHead(nn.Module):
    """Transposed convolutions that each double the resolution of the coarsest level, then one heatmap per joint.

    Pyramid to (N, J, H / stride, W / stride) in float32. `mirror_order` is the index of each joint's counterpart on
    the other side.
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
        init: str,
        outside: bool,
        mean_loss: bool,
    ) -> None:
        """Build the head. For the arguments see `Pose.build_head`."""
        super().__init__()
        self.sigma, self.flip_test, self.outside, self.mean_loss = sigma, flip_test, outside, mean_loss
        self.stride = strides[-1] >> deconvolutions
        self.deconvolutions = nn.ModuleList()
        self.laterals = nn.ModuleDict()  # by the position of the deconvolution whose output they are added to
        self._levels: dict[str, int] = {}
        for i in range(deconvolutions):
            self.deconvolutions.append(_upsampling(width if i else channels[-1], width, init))
            stride = strides[-1] >> (i + 1)
            if laterals and stride in strides:
                self._levels[str(i)] = strides.index(stride)
                self.laterals[str(i)] = nn.Conv2d(channels[strides.index(stride)], width, 1)
        self.classify = _Classify(width if deconvolutions else channels[-1], len(joints), 1)
        self.mirror_order: Tensor
        self.register_buffer("mirror_order", torch.tensor(mirror_order(joints)), persistent=False)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Return the heatmaps."""
        x = pyramid[-1]
        for i, deconvolution in enumerate(self.deconvolutions):
            x = deconvolution(x)
            if str(i) in self._levels:
                x = x + self.laterals[str(i)](pyramid[self._levels[str(i)]])
        # In bfloat16 the highest pixel of a heatmap would often equal its neighbours.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            heatmaps: Tensor = self.classify(x.float())
        return heatmaps


def _upsampling(c_in: int, c_out: int, init: str) -> nn.Sequential:
    kind = _Deconvolution if init == "mmpose" else nn.ConvTranspose2d
    return nn.Sequential(kind(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


@register
class Pose(Task):
    """Pose estimation: the joints of people whose boxes are given."""

    name, metric = "pose", "pck"
    centred = True

    def build_head(
        self, channels: Sequence[int], strides: Sequence[int], vocabulary: Vocabulary, settings: Mapping[str, Any]
    ) -> nn.Module:
        """Build the deconvolution head.

        Settings: `width` is the number of channels, `deconvolutions` their number, `sigma` the standard deviation of a
        joint in heatmap pixels, `laterals` whether finer levels are added to the upsampled ones, as in a U-Net,
        `flip_test` whether flipped images are predicted too, `init` whether the transposed convolutions start as torch
        initialises them or near zero, as in mmpose; for `outside` and `mean_loss` see `heatmap_loss`.
        """
        if unknown := set(settings) - set(_DEFAULT_SETTINGS):
            raise RecipeError(
                f"head setting '{min(unknown)}' is unknown to task pose: it has {', '.join(_DEFAULT_SETTINGS)}"
            )
        chosen = {**_DEFAULT_SETTINGS, **settings}
        _check_settings(chosen, strides[-1])
        if not vocabulary.joints:
            raise RecipeError("task pose needs joints, but the data set names none: choose data with keypoints")
        return DeconvolutionHead(channels, strides, vocabulary.joints, **chosen)

    def list_examples(self, data: DataSet, split: str) -> Sequence[ExampleRef]:
        """List all people with a labelled joint."""
        return data.people(split)

    def first_example(self, data: DataSet, split: str) -> ExampleRef | None:
        """Return the first person with a labelled joint."""
        return data.first_person(split)

    def load_example(self, sample: Sample, ref: ExampleRef, frame: Frame, *, training: bool) -> Example:
        """Return the crop of a person with its annotations, in training with a margin for views around it."""
        image, position = ref
        example = crop_person(sample, position, frame.size, frame.detail if training else 1.0)
        return example | {"image_number": torch.tensor(image)}

    def annotate(self, sample: Sample, size: Size, *, training: bool) -> Example:
        """Return the annotations of the first person with joints."""
        for position, instance in enumerate(sample.instances):
            if instance.joints is not None:
                return locate_person(sample, position, size)
        raise BadDataFailure("a sample has no joints")

    def collate(self, examples: Sequence[Example], views: Sequence[View]) -> PersonCrops:
        """Join people into a batch."""
        return stack_people(examples, views)

    def loss(self, head: nn.Module, pyramid: list[Tensor], target: PersonCrops) -> Tensor:
        """Return the squared error of the heatmaps of labelled joints. Mirrored inputs swap left and right."""
        assert isinstance(head, DeconvolutionHead)
        joints = torch.where(target.mirrored[:, None, None], target.joints[:, head.mirror_order], target.joints)
        how = {"outside": head.outside, "mean": head.mean_loss}
        return heatmap_loss(head(pyramid), joints, head.stride, head.sigma, **how)

    def evaluation_images(self, head: nn.Module, images: Tensor) -> Tensor:
        """Return the images, and with the flip test the flipped images too."""
        assert isinstance(head, DeconvolutionHead)
        return append_flipped(images) if head.flip_test else images

    def predict(self, head: nn.Module, pyramid: list[Tensor], target: PersonCrops) -> Tensor:
        """Return (N, J, 5): x and y in the input, x and y in the image, score.

        Of `target` only the positions of the crops are used. With the flip test, the pyramid is of the N inputs and
        then of the N flipped inputs.
        """
        assert isinstance(head, DeconvolutionHead)
        heatmaps, count = head(pyramid), len(target.joints)
        if head.flip_test:
            unflipped, from_flipped = split_flipped(heatmaps, count)
            heatmaps = (unflipped + from_flipped[:, head.mirror_order]) / 2
        points, scores = decode_heatmaps(heatmaps, head.stride)
        return torch.cat([points, target.to_image_pixels(points), scores[..., None]], -1)

    def build_metric(self, vocabulary: Vocabulary) -> Metric:
        """Create the metric: PCK, PCKh and OKS AP."""
        return KeypointMetric(vocabulary)

    def draw_predictions(
        self, images: Sequence[Tensor], output: Tensor, target: PersonCrops, vocabulary: Vocabulary
    ) -> list[tuple[Tensor, Tensor]]:
        """Draw the labelled joints and all predicted joints, with the limbs between them."""
        pairs, limb_joints = [], limbs(vocabulary.joints)
        for image, points, joints in zip(images, output.float().cpu(), target.joints.cpu(), strict=True):
            large, factor = enlarge(image)
            truth = with_joints(large, joints[:, :2] * factor, limb_joints, joints[:, 2] > 0)
            pairs.append((truth, with_joints(large, points[:, :2] * factor, limb_joints)))
        return pairs


def _check_settings(settings: Mapping[str, Any], coarsest: int) -> None:
    width, count, sigma = settings["width"], settings["deconvolutions"], settings["sigma"]
    if type(width) is not int or width < 1:
        raise RecipeError(f"head width {width}: must be a positive whole number of channels")
    if type(count) is not int or count < 0 or coarsest % 2**count:
        most = (coarsest & -coarsest).bit_length() - 1
        raise RecipeError(f"head deconvolutions {count}: must be from 0 to {most}, as each halves stride {coarsest}")
    if type(sigma) not in (int, float) or not sigma > 0:
        raise RecipeError(f"head sigma {sigma}: must be a positive number of heatmap pixels")
    if settings["init"] not in ("torch", "mmpose"):
        raise RecipeError(f"head init {settings['init']}: must be torch or mmpose")
    for name in ("laterals", "flip_test", "outside", "mean_loss"):
        if type(settings[name]) is not bool:
            raise RecipeError(f"head {name} {settings[name]}: must be true or false")
