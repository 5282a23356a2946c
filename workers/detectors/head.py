"""An mmdet detector as a head: neck, proposals and heads on a body's feature pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from workers.detectors import mmdet_loading
from workers.errors import RecipeError
from workers.seeding import seed_by
from workers.targets.objects import Found, Scenes, encode

_ROI, _MASK_ROI = 7, 14  # sides of the pooled maps that box and mask heads see


class DetectorHead(nn.Module):
    """Wraps a detector whose backbone is the pyramid itself."""

    def __init__(self, config: dict[str, Any], panoptic_score: float = 0.6) -> None:
        super().__init__()
        models = mmdet_loading.load()
        from mmengine.config import ConfigDict

        try:
            self.detector: Any = models.build(ConfigDict(config))
        except Exception as error:  # whatever a wrong option makes mmdet raise
            text = " ".join(str(error).split())[:200]
            raise RecipeError(
                f"head config: mmdet cannot build it ({text}): check head.config and head.options"
            ) from None
        self.panoptic_score = panoptic_score

    def reset_parts(self, seed: int) -> None:
        """Initialise as mmdet does, each part from a generator of its own, so that bodies do not shift the draws."""
        for name, part in self.detector.named_children():
            if hasattr(part, "init_weights"):
                seed_by(f"{seed} {name}")
                for module in part.modules():
                    if hasattr(module, "_is_init"):
                        module._is_init = False
                part.init_weights()

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        """Raw outputs of all heads. Second stages see as many regions as the test configuration lets pass.

        All regions are the whole image: which ones there are depends on values, and the work on them does not.
        """
        whole = DetectorPart(self, ("rpn_head", "bbox_head", "semantic_head", "roi_head"), masks=True)
        outputs: list[Tensor] = whole(pyramid)
        return outputs

    def loss(self, pyramid: list[Tensor], target: Scenes) -> Tensor:
        """Sum of the detector's losses, a scalar."""
        losses = self.detector.loss(pyramid, [_sample(scene, train=True) for scene in target.scenes])
        terms = [value for name, value in losses.items() if "loss" in name]
        flat = [term.float().mean() for value in terms for term in (value if isinstance(value, list) else [value])]
        return torch.stack(flat).sum()

    def predict(self, pyramid: list[Tensor], target: Scenes) -> list[Found]:
        """What is found in each image, in the pixels of the image as stored."""
        samples = [_sample(scene, train=False) for scene in target.scenes]
        if getattr(self.detector, "panoptic_fusion_head", None) is not None:
            return self._predict_panoptic(pyramid, samples)
        return [_found(result.pred_instances) for result in self.detector.predict(pyramid, samples, rescale=True)]

    def _predict_panoptic(self, pyramid: list[Tensor], samples: list[Any]) -> list[Found]:
        """mmdet's own PanopticFPN.predict keeps only the map; this is the same with the instances kept as well.

        Average precision wants all detections, the map only confident ones, hence the threshold in between.
        """
        detector = self.detector
        levels = detector.extract_feat(pyramid)
        proposals = detector.rpn_head.predict(levels, samples, rescale=False)
        instances = detector.roi_head.predict(levels, proposals, samples, rescale=True)
        maps = detector.semantic_head.predict(levels, [sample.metainfo for sample in samples], True)
        confident = [found[found.scores >= self.panoptic_score] for found in instances]
        fused = detector.panoptic_fusion_head.predict(confident, maps)
        classes = detector.panoptic_fusion_head.num_classes
        return [_found(found, _panoptic(pan.sem_seg[0], classes)) for found, pan in zip(instances, fused, strict=True)]


class DetectorPart(nn.Module):
    """Neck and some heads of a detector: what the label of the task they answer costs.

    Shares the modules of the whole. keep: names of heads; those that the detector lacks are left out.
    """

    def __init__(self, head: DetectorHead, keep: tuple[str, ...], masks: bool) -> None:
        super().__init__()
        detector = head.detector
        kept = {name: part for name in keep if (part := getattr(detector, name, None)) is not None}
        self.neck, roi = detector.neck, kept.pop("roi_head", None)
        self.heads = nn.ModuleDict(kept)
        self.box = self.mask = self.dynamic = None
        single = getattr(detector, "mask_head", None)
        if masks and hasattr(single, "mask_feature_head"):  # CondInst
            self.dynamic, self.kept = single, int(detector.test_cfg["max_per_img"])
        if roi is not None:
            self.box, self.mask = roi.bbox_head, getattr(roi, "mask_head", None) if masks else None
            test = detector.test_cfg
            self.regions, self.kept = int(test["rpn"]["max_per_img"]), int(test["rcnn"]["max_per_img"])

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        """Raw outputs of the kept heads."""
        levels = self.neck(tuple(pyramid))
        said = {name: head(levels) for name, head in self.heads.items()}
        outputs = _tensors(said)
        if self.dynamic is not None:
            outputs += _tensors(_dynamic_masks(self.dynamic, levels, said["bbox_head"][-1], self.kept))
        if self.box is not None:
            outputs += _tensors(self.box(_regions(levels[0], self.regions, _ROI)))
        if self.mask is not None:
            outputs += _tensors(self.mask(_regions(levels[0], self.kept, _MASK_ROI)))
        return outputs


def _regions(level: Tensor, count: int, size: int) -> Tensor:
    """(N, C, H, W) to (N * count, C, size, size), all regions of an image alike."""
    pooled = F.adaptive_avg_pool2d(level, size)
    return pooled[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)


def _dynamic_masks(head: Any, levels: Any, kernels: list[Tensor], count: int) -> Any:
    """Masks of so many instances, by kernels that were predicted for them (Tian et al., CondInst, ECCV 2020).

    The first places' kernels serve: which places have instances depends on values, and the work on them does not.
    """
    from mmengine.structures import InstanceData

    at_places = torch.cat([level.flatten(2) for level in kernels], 2)[..., :count].transpose(1, 2)
    found = [
        InstanceData(param_preds=own, points=own.new_zeros(len(own), 2), strides=own.new_ones(len(own)))
        for own in at_places
    ]
    return head(levels, found)


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output or ()
    return [tensor for value in values for tensor in _tensors(value)]


def _sample(scene: Any, *, train: bool) -> Any:
    """The scene as mmdet's DetDataSample; without annotations unless it is to be learnt from."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    height, width = scene.size
    full = scene.truth.size
    scale = (width / full[1], height / full[0])
    shape = {"img_shape": scene.size, "pad_shape": scene.size, "batch_input_shape": scene.size}
    sample = DetDataSample(metainfo={**shape, "ori_shape": full, "scale_factor": scale})
    if not train:
        return sample
    single = ~scene.crowd
    truth = InstanceData(bboxes=scene.boxes[single], labels=scene.labels[single])
    if scene.masks is not None:
        truth.masks = BitmapMasks(scene.masks[single].cpu().numpy(), height, width)
    sample.gt_instances = truth
    sample.ignored_instances = InstanceData(bboxes=scene.boxes[scene.crowd], labels=scene.labels[scene.crowd])
    if scene.semantic is not None:
        sample.gt_sem_seg = PixelData(sem_seg=scene.semantic[None])
    return sample


def _found(instances: Any, panoptic: Any = None) -> Found:
    masks = instances.masks if "masks" in instances else None
    return Found(
        boxes=instances.bboxes.float().cpu().numpy().astype(np.float64),
        scores=instances.scores.float().cpu().numpy().astype(np.float64),
        labels=instances.labels.cpu().numpy().astype(np.int64),
        rles=() if masks is None else tuple(encode(mask) for mask in masks.cpu().numpy()),
        panoptic=panoptic,
    )


def _panoptic(fused: Tensor, classes: int) -> Any:
    """mmdet's class + 1000 * number, `classes` for nothing, to our class * 1000 + number, -1 for nothing."""
    ids = fused.cpu().numpy().astype(np.int32)
    category, number = ids % 1000, ids // 1000
    return np.where(category == classes, -1, category * 1000 + number).astype(np.int32)
