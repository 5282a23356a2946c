"""The semantic FPN head (Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

_AUXILIARY_LEVEL = 2  # stride 16, as in mmseg


class _NeckConv(nn.Conv2d):
    """A convolution that starts as in mmseg's FPN: uniform (Glorot and Bengio, AISTATS 2010), without bias."""

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class _BranchConv(nn.Conv2d):
    """A convolution that starts as in mmseg's heads: normal, by the number of outputs (He et al., ICCV 2015)."""

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class _ClassifyConv(nn.Conv2d):
    """A convolution that starts as the classification of mmseg's heads."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


@dataclass(frozen=True, slots=True)
class _Convolutions:
    """The classes of the head's convolutions, which differ in their initial weights."""

    neck: type[nn.Conv2d] = nn.Conv2d
    branch: type[nn.Conv2d] = nn.Conv2d
    classify: type[nn.Conv2d] = nn.Conv2d


_CONVOLUTIONS = {"torch": _Convolutions(), "mmseg": _Convolutions(_NeckConv, _BranchConv, _ClassifyConv)}


class SemanticFPN(nn.Module):
    """Top-down FPN whose levels are upsampled to the size of the finest level, summed and classified.

    Pyramid to (N, classes, H / stride, W / stride) logits, with the stride of the finest level. The names of attributes
    are seeds of the initialisation.

    auxiliary: a head on one level of the pyramid, for training only; None without.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        *,
        width: int,
        flip_test: bool = False,
        neck: int = 0,
        norm: str = "group",
        dropout: float = 0.0,
        full_size_loss: bool = False,
        auxiliary_weight: float = 0.0,
        init: str = "torch",
    ) -> None:
        """Build the head.

        width: channels, a multiple of 8. flip_test: average the predictions for images and flipped images, which
        doubles the time of evaluation. neck: channels of the FPN, each of whose levels is filtered once more, as in
        mmseg; 0: the FPN has `width` channels and no filters. norm: group or batch. dropout: of whole channels before
        the classification. full_size_loss: compare logits with targets at the size of the input, not of the finest
        level. auxiliary_weight: weight of the loss of a head on stride 16 (Zhao et al., PSPNet, CVPR 2017); 0: none.
        init: torch, or mmseg for the initial weights of its heads.
        """
        super().__init__()
        self.flip_test, self.full_size_loss, self.auxiliary_weight = flip_test, full_size_loss, auxiliary_weight
        kind = _CONVOLUTIONS[init]
        self.laterals = nn.ModuleList(kind.neck(c, neck or width, 1) for c in channels)
        self.filters = nn.ModuleList(kind.neck(neck, neck, 3, 1, 1) for _ in channels) if neck else None
        steps = [round(math.log2(stride / strides[0])) for stride in strides]
        self.branches = nn.ModuleList(_branch(neck or width, width, n, norm, kind) for n in steps)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.classify = kind.classify(width, classes, 1)
        self.auxiliary = AuxiliaryHead(channels, width, classes, norm, dropout, init) if auxiliary_weight else None

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Return the logits at the size of the finest level."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, pyramid, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + F.interpolate(levels[i], size=levels[i - 1].shape[2:])
        if self.filters is not None:
            levels = [conv(x) for conv, x in zip(self.filters, levels, strict=True)]
        summed = sum((b(x) for b, x in zip(self.branches[1:], levels[1:], strict=True)), self.branches[0](levels[0]))
        logits: Tensor = self.classify(self.dropout(summed))
        return logits


class AuxiliaryHead(nn.Module):
    """A convolution and a classification on the level of stride 16: pyramid to (N, classes, h, w) logits."""

    def __init__(self, channels: Sequence[int], width: int, classes: int, norm: str, dropout: float, init: str) -> None:
        super().__init__()
        kind = _CONVOLUTIONS[init]
        self.layers = nn.Sequential(
            kind.branch(channels[_AUXILIARY_LEVEL], width, 3, 1, 1, bias=False),
            _norm(width, norm),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            kind.classify(width, classes, 1),
        )

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.layers(pyramid[_AUXILIARY_LEVEL])
        return logits


def _branch(c_in: int, width: int, doublings: int, norm: str, kind: _Convolutions) -> nn.Sequential:
    """Build 3x3 convolutions that upsample a level by 2 ** doublings."""
    layers: list[nn.Module] = []
    for i in range(max(1, doublings)):
        layers += [kind.branch(width if i else c_in, width, 3, 1, 1, bias=False), _norm(width, norm), nn.ReLU()]
        if i < doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
    return nn.Sequential(*layers)


def _norm(width: int, kind: str) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(8, width)
