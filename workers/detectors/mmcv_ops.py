"""Replace mmcv's compiled operations by torchvision's, so that mmdet needs no compiler.

mmcv-lite has the Python code of `mmcv.ops` but not the compiled extension `mmcv._ext`, which all of mmdet imports.
A finder at the end of `sys.meta_path` provides that module. If a compiled mmcv is installed, it is found first.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypedDict, Unpack

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
from workers.detectors.position_attention import psamask_forward

_NAME = "mmcv._ext"


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the kept indices, best first. boxes: (n, 4). offset: 1 if x1 and y1 are inside the box."""
    extended = boxes.float() + boxes.new_tensor([0, 0, offset, offset], dtype=torch.float32)
    kept: Tensor = torchvision_nms(extended, scores.float(), iou_threshold)
    return kept


class _RoiAlignOptions(TypedDict):
    """mmcv's keyword arguments of both directions."""

    aligned_height: int
    aligned_width: int
    spatial_scale: float
    sampling_ratio: int
    pool_mode: int
    aligned: bool


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    **options: Unpack[_RoiAlignOptions],
) -> None:
    """Write the pooled regions, (n, C, aligned_height, aligned_width), into `output`.

    Only average pooling, pool_mode 1, is supported.
    """
    if options["pool_mode"] != 1:
        raise NotImplementedError("roi_align with pool_mode 'max' needs a compiled mmcv: install one, or use 'avg'")
    size = (options["aligned_height"], options["aligned_width"])
    pooled = torch.ops.torchvision.roi_align(
        *(features.float(), rois.float(), options["spatial_scale"], *size),
        *(options["sampling_ratio"], options["aligned"]),
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    **options: Unpack[_RoiAlignOptions],
) -> None:
    """Write the gradient of the features, (N, C, H, W), into `grad_input`."""
    size = (options["aligned_height"], options["aligned_width"])
    gradient = torch.ops.torchvision._roi_align_backward(
        *(grad_output.float(), rois.float(), options["spatial_scale"], *size),
        *(*grad_input.shape, options["sampling_ratio"], options["aligned"]),
    )
    grad_input.copy_(gradient)


def sigmoid_focal_loss_forward(
    logits: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the unreduced loss, (n, classes), into `output`. target: (n,) class ids, `classes` for background."""
    output.copy_(_focal(logits.float(), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    logits: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the gradient of the logits into `grad_input`."""
    with torch.enable_grad():
        leaf = logits.detach().float().requires_grad_()
        (grad,) = torch.autograd.grad(_focal(leaf, target, weight, gamma, alpha).sum(), leaf)
    grad_input.copy_(grad)


def _focal(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    classes = logits.shape[1]
    positive = torch.nn.functional.one_hot(target.long(), classes + 1)[:, :classes].to(logits.dtype)
    p = logits.sigmoid()
    error = torch.where(positive > 0, 1 - p, p)
    balance = torch.where(positive > 0, alpha, 1 - alpha)
    loss = (
        balance
        * error**gamma
        * torch.nn.functional.binary_cross_entropy_with_logits(logits, positive, reduction="none")
    )
    return loss * weight[target.long()].unsqueeze(1) if weight.numel() else loss


_OPERATIONS: dict[str, Callable[..., Any]] = {
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
    "psamask_forward": psamask_forward,
}


def _unsupported(name: str) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"mmcv operation '{name}' needs a compiled mmcv: install one, or use another head")

    return fail


class _Extension(ModuleType):
    """The module `mmcv._ext`. An operation that is not supported fails when it is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # the import system looks these up in every module
            raise AttributeError(name)
        return _OPERATIONS.get(name) or _unsupported(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == _NAME else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Extension(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def install() -> None:
    """Make `mmcv._ext` importable in this process unless a compiled one is installed. May be called repeatedly."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
