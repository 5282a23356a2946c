"""Serves mmcv's compiled operations from torchvision's, so that mmdet needs no compiler.

mmcv-lite ships the Python side of `mmcv.ops` but not the extension `mmcv._ext` behind it, and mmdet imports it
everywhere. A finder at the end of `sys.meta_path` provides that module; a compiled mmcv is found before it and wins.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

from workers.detectors.deformable import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)

_NAME = "mmcv._ext"


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Kept indices, best first. boxes: (n, 4); offset 1 counts x1 and y1 as inside the box, as mmdet once did."""
    grown = boxes.float() + boxes.new_tensor([0, 0, offset, offset], dtype=torch.float32)
    kept: Tensor = torchvision_nms(grown, scores.float(), iou_threshold)
    return kept


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Writes (n, C, aligned_height, aligned_width) into `output`; pool_mode 1, the average, is the one served."""
    if pool_mode != 1:
        raise NotImplementedError("roi_align with pool_mode 'max' is not served: install a compiled mmcv or use 'avg'")
    pooled = torch.ops.torchvision.roi_align(
        features.float(), rois.float(), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Writes the gradient of the features, (N, C, H, W), into `grad_input`."""
    batch, channels, height, width = grad_input.shape
    grad = torch.ops.torchvision._roi_align_backward(
        *(grad_output.float(), rois.float(), spatial_scale, aligned_height, aligned_width),
        *(batch, channels, height, width, sampling_ratio, aligned),
    )
    grad_input.copy_(grad)


def sigmoid_focal_loss_forward(
    logits: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Writes the unreduced loss, (n, classes). target: (n,) class ids, `classes` for the background."""
    output.copy_(_focal(logits.float(), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    logits: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Writes the loss's gradient by the logits into `grad_input`."""
    with torch.enable_grad():
        leaf = logits.detach().float().requires_grad_()
        (grad,) = torch.autograd.grad(_focal(leaf, target, weight, gamma, alpha).sum(), leaf)
    grad_input.copy_(grad)


def _focal(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = logits.shape[1]
    positive = torch.nn.functional.one_hot(target.long(), classes + 1)[:, :classes].to(logits.dtype)
    p = logits.sigmoid()
    missed = torch.where(positive > 0, 1 - p, p)
    balance = torch.where(positive > 0, alpha, 1 - alpha)
    loss = (
        balance
        * missed**gamma
        * torch.nn.functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
    )
    return loss * weight[target.long()].unsqueeze(1) if weight.numel() else loss


_SERVED: dict[str, Callable[..., Any]] = {
    "nms": nms,
    "roi_align_forward": roi_align_forward,
    "roi_align_backward": roi_align_backward,
    "sigmoid_focal_loss_forward": sigmoid_focal_loss_forward,
    "sigmoid_focal_loss_backward": sigmoid_focal_loss_backward,
    "deform_conv_forward": deform_conv_forward,
    "deform_conv_backward_input": deform_conv_backward_input,
    "deform_conv_backward_parameters": deform_conv_backward_parameters,
    "modulated_deform_conv_forward": modulated_deform_conv_forward,
    "modulated_deform_conv_backward": modulated_deform_conv_backward,
}


def _missing(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"mmcv operation '{name}' needs a compiled mmcv: install one, or use another head")

    return refuse


class _Extension(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # what the import system asks every module for
            raise AttributeError(name)
        return _SERVED.get(name) or _missing(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == _NAME else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Extension(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def serve() -> None:
    """Provide `mmcv._ext` in this process unless a compiled one is installed. Safe to call again."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
