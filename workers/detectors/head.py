"""An mmdet detector as the head of a task: neck, region proposals and heads on a backbone's feature pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor, nn

from workers.detectors import mmdet_loading
from workers.errors import RecipeError
from workers.seeding import seed_from_text
from workers.targets.objects import Detections, ObjectTarget, ObjectTargets, encode_mask

_BOX_ROI_SIZE, _MASK_ROI_SIZE = 7, 14  # sides of the pooled regions that box and mask heads take


class DetectorHead(nn.Module):
    """A detector that takes the feature pyramid instead of images."""

    def __init__(self, config: dict[str, Any], panoptic_score: float = 0.6) -> None:
        """Build the detector.

        config: as `detector_config` returns it. panoptic_score: lowest score of an object in the panoptic map.
        Raises RecipeError if mmdet cannot build it.
        """
        super().__init__()
        models = mmdet_loading.load()
        from mmengine.config import ConfigDict

        try:
            self.detector: Any = models.build(ConfigDict(config))
        except Exception as error:  # a wrong option can make mmdet raise anything
            text = " ".join(str(error).split())[:200]
            raise RecipeError(
                f"head config: mmdet cannot build it ({text}): check head.config and head.options"
            ) from None
        self.panoptic_score = panoptic_score

    def reset_parts(self, seed: int) -> None:
        """Initialise as mmdet does, each part with its own seed, so that draws do not depend on the backbone."""
        for name, part in self.detector.named_children():
            if hasattr(part, "init_weights"):
                seed_from_text(f"{seed} {name}")
                for module in part.modules():
                    if hasattr(module, "_is_init"):
                        module._is_init = False
                part.init_weights()

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        """Return the raw outputs of all heads, to count FLOPs.

        The second stage gets as many regions as the test configuration allows. All of them are the whole image: the
        positions of regions depend on the values of tensors, but the cost of a region does not.
        """
        outputs: list[Tensor] = self.whole()(pyramid)
        return outputs

    def whole(self) -> DetectorPart:
        """Return the module with the neck and all heads whose outputs `forward` returns."""
        return DetectorPart(self, ("rpn_head", "bbox_head", "semantic_head", "roi_head"), masks=True)

    def loss(self, pyramid: list[Tensor], target: ObjectTargets) -> Tensor:
        """Return the sum of the detector's losses, a scalar."""
        losses = self.detector.loss(pyramid, [_to_mmdet(image_target, train=True) for image_target in target.images])
        terms = [value for name, value in losses.items() if "loss" in name]
        flat = [term.float().mean() for value in terms for term in (value if isinstance(value, list) else [value])]
        return torch.stack(flat).sum()

    def predict(self, pyramid: list[Tensor], target: ObjectTargets) -> list[Detections]:
        """Return the detections in each image, in pixels of the stored image."""
        samples = [_to_mmdet(image_target, train=False) for image_target in target.images]
        if getattr(self.detector, "panoptic_fusion_head", None) is not None:
            return self._predict_panoptic(pyramid, samples)
        results = self.detector.predict(pyramid, samples, rescale=True)
        return [_from_mmdet(result.pred_instances) for result in results]

    def _predict_panoptic(self, pyramid: list[Tensor], samples: list[Any]) -> list[Detections]:
        """Predict as mmdet's PanopticFPN.predict does, which returns only the map, and return the instances too.

        Average precision needs all instances, but the map only those with at least `panoptic_score`.
        """
        detector = self.detector
        levels = detector.extract_feat(pyramid)
        proposals = detector.rpn_head.predict(levels, samples, rescale=False)
        instances = detector.roi_head.predict(levels, proposals, samples, rescale=True)
        maps = detector.semantic_head.predict(levels, [sample.metainfo for sample in samples], True)
        confident = [detected[detected.scores >= self.panoptic_score] for detected in instances]
        fused = detector.panoptic_fusion_head.predict(confident, maps)
        classes = detector.panoptic_fusion_head.num_classes
        return [
            _from_mmdet(detected, _convert_panoptic_ids(panoptic.sem_seg[0], classes))
            for detected, panoptic in zip(instances, fused, strict=True)
        ]


class DetectorPart(nn.Module):
    """The neck and some heads of a detector, which it shares with the detector, to count their FLOPs and parameters."""

    def __init__(self, head: DetectorHead, names: tuple[str, ...], masks: bool) -> None:
        """Select the heads `names` as far as the detector has them. masks: whether mask heads are included."""
        super().__init__()
        detector = head.detector
        heads = {name: module for name in names if (module := getattr(detector, name, None)) is not None}
        self.neck, roi = detector.neck, heads.pop("roi_head", None)
        self.heads = nn.ModuleDict(heads)
        self.box = self.mask = self.dynamic = None
        mask_head = getattr(detector, "mask_head", None)
        if masks and hasattr(mask_head, "mask_feature_head"):  # CondInst
            self.dynamic, self.max_instances = mask_head, int(detector.test_cfg["max_per_img"])
        if roi is not None:
            self.box, self.mask = roi.bbox_head, getattr(roi, "mask_head", None) if masks else None
            test = detector.test_cfg
            self.max_regions, self.max_instances = int(test["rpn"]["max_per_img"]), int(test["rcnn"]["max_per_img"])

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        """Return the raw outputs of the selected heads."""
        levels = self.neck(tuple(pyramid))
        by_head = {name: head(levels) for name, head in self.heads.items()}
        outputs = _flatten(by_head)
        if self.dynamic is not None:
            outputs += _flatten(_dynamic_masks(self.dynamic, levels, by_head["bbox_head"][-1], self.max_instances))
        if self.box is not None:
            outputs += _flatten(self.box(_equal_regions(levels[0], self.max_regions, _BOX_ROI_SIZE)))
        if self.mask is not None:
            outputs += _flatten(self.mask(_equal_regions(levels[0], self.max_instances, _MASK_ROI_SIZE)))
        return outputs


def _equal_regions(level: Tensor, count: int, size: int) -> Tensor:
    """Pool (N, C, H, W) to (N * count, C, size, size): `count` equal regions per image, each the whole image."""
    pooled = F.adaptive_avg_pool2d(level, size)
    return pooled[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)


def _dynamic_masks(head: Any, levels: Any, kernels: list[Tensor], count: int) -> Any:
    """Return the masks of `count` instances, by the kernels predicted for them (Tian et al., CondInst, ECCV 2020).

    The kernels of the first positions are used: which positions have instances depends on the values of tensors, but
    the cost does not.
    """
    from mmengine.structures import InstanceData

    by_image = torch.cat([level.flatten(2) for level in kernels], 2)[..., :count].transpose(1, 2)
    instances = [
        InstanceData(param_preds=own, points=own.new_zeros(len(own), 2), strides=own.new_ones(len(own)))
        for own in by_image
    ]
    return head(levels, instances)


def _flatten(output: Any) -> list[Tensor]:
    """List all tensors in nested dicts and sequences."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output or ()
    return [tensor for value in values for tensor in _flatten(value)]


def _to_mmdet(target: ObjectTarget, *, train: bool) -> Any:
    """Convert a target to mmdet's DetDataSample, with annotations only for training."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData, PixelData

    from workers.detectors.device_masks import DeviceMasks  # a subclass of one of mmdet's classes

    shape = {"img_shape": target.content, "pad_shape": target.canvas, "batch_input_shape": target.canvas}
    stored = target.content if target.truth is None else target.truth.size
    scale = (target.content[1] / stored[1], target.content[0] / stored[0])
    sample = DetDataSample(metainfo={**shape, "ori_shape": stored, "scale_factor": scale})
    if not train:
        return sample
    assert target.boxes is not None and target.labels is not None and target.crowd is not None  # noqa: PT018
    single = ~target.crowd
    truth = InstanceData(bboxes=target.boxes[single], labels=target.labels[single])
    if target.masks is not None:
        truth.masks = DeviceMasks(target.masks[single])
    sample.gt_instances = truth
    sample.ignored_instances = InstanceData(bboxes=target.boxes[target.crowd], labels=target.labels[target.crowd])
    if target.semantic is not None:
        sample.gt_sem_seg = PixelData(sem_seg=target.semantic[None])
    return sample


def _from_mmdet(instances: Any, panoptic: NDArray[np.int32] | None = None) -> Detections:
    """Convert mmdet's InstanceData to detections."""
    masks = instances.masks if "masks" in instances else None
    return Detections(
        boxes=instances.bboxes.float().cpu().numpy().astype(np.float64),
        scores=instances.scores.float().cpu().numpy().astype(np.float64),
        labels=instances.labels.cpu().numpy().astype(np.int64),
        rles=() if masks is None else tuple(encode_mask(mask) for mask in masks.cpu().numpy()),
        panoptic=panoptic,
    )


def _convert_panoptic_ids(fused: Tensor, classes: int) -> NDArray[np.int32]:
    """Convert mmdet's class + 1000 * number (class `classes`: none) to our class * 1000 + number (-1: none)."""
    ids = fused.cpu().numpy().astype(np.int32)
    category, number = ids % 1000, ids // 1000
    return np.where(category == classes, -1, category * 1000 + number).astype(np.int32)
