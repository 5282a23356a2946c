"""Fields of a recipe from a training configuration of mmdet, or of another toolbox with OpenMMLab's configurations.

Read are the head, optimizer, schedule, batch size, image size, flip, normalisation, and which parts of a pretrained
backbone are frozen. A part that a recipe cannot express is an error that names it, unless `without` lists it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.errors import RecipeError

# They load, pack or check, and change nothing that a label depends on.
_NEUTRAL_TRANSFORMS = {"LoadImageFromFile", "LoadAnnotations", "LoadPanopticAnnotations", "PackDetInputs"}
_NEUTRAL_HOOKS = {"NumClassCheckHook", "CheckInvalidLossHook"}
_STRIDE = 32


def fields_from_config(source: Any, recipe: Path) -> dict[str, Any]:
    """Return the fields of a recipe as `from_config` names them.

    source: "mmdet:FOLDER/FILE.py" for a configuration that is part of mmdet, or a Python file, which is run as code;
    or a mapping with `file` and `without`, names of parts to leave out. recipe: file for messages.
    Raises RecipeError.
    """
    settings = source if isinstance(source, Mapping) else {"file": source}
    if set(settings) - {"file", "without"} or not isinstance(settings.get("file"), str):
        raise RecipeError(f"recipe {recipe}: from_config {source!r}: write a file, or a mapping with file and without")
    without = settings.get("without", [])
    if not isinstance(without, list) or not all(isinstance(name, str) for name in without):
        raise RecipeError(
            f"recipe {recipe}: from_config without {without!r}: list names such as [PhotoMetricDistortion]"
        )
    path = _config_file(settings["file"], recipe)
    fields = _Reading(_load(path, recipe), f"recipe {recipe}: from_config {path.name}", without).fields()
    shipped = settings["file"].startswith("mmdet:")
    name = settings["file"].removeprefix("mmdet:").removeprefix("configs/") if shipped else str(path.resolve())
    return fields | {"head": {"config": name}}


def _config_file(name: str, recipe: Path) -> Path:
    prefix, _, rest = name.partition(":")
    if prefix != "mmdet":
        path = Path(name).expanduser()
        path = path if path.is_absolute() else recipe.parent / path
    else:
        found = importlib.util.find_spec("mmdet")
        if found is None or found.origin is None:
            raise RecipeError(
                f"recipe {recipe}: from_config {name}: mmdet is not installed: install it, or name a file"
            )
        path = Path(found.origin).parent / ".mim" / "configs" / rest.removeprefix("configs/")
    if not path.is_file():
        raise RecipeError(f"recipe {recipe}: from_config {name}: no file {path}: check the name")
    return path


def _load(path: Path, recipe: Path) -> dict[str, Any]:
    from mmengine.config import Config  # takes a second to import

    try:
        config: dict[str, Any] = Config.fromfile(str(path)).to_dict()
    except Exception as error:  # the file is code and may raise anything
        text = " ".join(str(error).split())[:200]
        raise RecipeError(f"recipe {recipe}: from_config {path}: {type(error).__name__}: {text}: fix it") from None
    return config


class _Reading:
    """Reads one configuration. Parts that are not understood are collected, so that one error names them all."""

    def __init__(self, config: Mapping[str, Any], where: str, without: Collection[str]) -> None:
        self._config, self._where, self._without = config, where, without
        self._unknown: list[str] = []

    def fields(self) -> dict[str, Any]:
        """Return all fields but the head. Raises RecipeError."""
        model = self._config.get("model")
        if not isinstance(model, Mapping):
            raise RecipeError(f"{self._where}: has no model: name the configuration of a training")
        fields: dict[str, Any] = {"ema": 0, "warmup_steps": 0, "warmup_start": 1.0}
        fields |= self._length() | self._optimizer() | self._schedule() | self._batch()
        fields |= self._pixels(model.get("data_preprocessor") or {}) | self._images() | _frozen(model)
        for hook in self._config.get("custom_hooks") or ():
            if hook["type"] not in _NEUTRAL_HOOKS:
                self._reject("custom_hooks", hook["type"])
        if self._config.get("load_from"):
            self._reject("load_from", "load_from")
        if self._unknown:
            raise RecipeError(
                f"{self._where}: a recipe cannot express {', '.join(self._unknown)}: list the last part of each name "
                "in from_config.without, and say in the recipe what differs"
            )
        return fields

    def _reject(self, section: str, name: str) -> None:
        if name not in self._without:
            self._unknown.append(f"{section}.{name}")

    def _check_keys(self, section: str, settings: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Reject settings unless `known` has them, with the only value that is understood or with ... for any."""
        for key, value in settings.items():
            if key not in known or (known[key] is not ... and value != known[key]):
                self._reject(section, key)

    def _length(self) -> dict[str, Any]:
        loop = self._config.get("train_cfg") or {}
        if "max_epochs" in loop:
            return {"epochs": float(loop["max_epochs"]) * self._repeats()}
        if "max_iters" in loop:
            return {"steps": int(loop["max_iters"])}
        raise RecipeError(
            f"{self._where}: train_cfg has no max_epochs or max_iters: name the configuration of a training"
        )

    def _repeats(self) -> int:
        dataset = (self._config.get("train_dataloader") or {}).get("dataset") or {}
        if dataset.get("type") == "RepeatDataset":
            return int(dataset["times"])
        if dataset.get("type") in {"MultiImageMixDataset", "ConcatDataset", "ClassBalancedDataset"}:
            self._reject("train_dataloader.dataset", dataset["type"])
        return 1

    def _optimizer(self) -> dict[str, Any]:
        wrapper = self._config.get("optim_wrapper") or {}
        known = {"type": ..., "optimizer": ..., "clip_grad": ..., "paramwise_cfg": ..., "loss_scale": ...}
        self._check_keys("optim_wrapper", wrapper, known)
        optimizer = dict(wrapper.get("optimizer") or {})
        kind = str(optimizer.pop("type", ""))
        if kind not in {"SGD", "Adam", "AdamW"}:
            raise RecipeError(f"{self._where}: optimizer {kind or 'is missing'}: must be SGD, Adam or AdamW")
        self._check_keys(
            "optimizer",
            optimizer,
            {"lr": ..., "momentum": ..., "weight_decay": ..., "betas": (0.9, 0.999), "eps": 1e-8, "nesterov": False},
        )
        fields: dict[str, Any] = {
            "optimizer": kind.lower(),
            "lr": optimizer["lr"],
            "weight_decay": optimizer.get("weight_decay", 0.01 if kind == "AdamW" else 0.0),
            "clip_norm": None,
        }
        if kind == "SGD":
            fields["momentum"] = optimizer.get("momentum", 0.0)
        clip = wrapper.get("clip_grad")
        if clip is not None:
            self._check_keys("clip_grad", clip, {"max_norm": ..., "norm_type": 2})
            fields["clip_norm"] = clip["max_norm"]
        if wrapper.get("type") == "AmpOptimWrapper":
            fields["precision"] = "bfloat16"
        return fields | self._decay(wrapper.get("paramwise_cfg") or {})

    def _decay(self, paramwise: Mapping[str, Any]) -> dict[str, Any]:
        self._check_keys(
            "paramwise_cfg", paramwise, {"norm_decay_mult": 0, "bias_decay_mult": 0, "bypass_duplicate": ...}
        )
        both = {"norm_decay_mult", "bias_decay_mult"}
        if len(both & paramwise.keys()) == 1:
            self._reject("paramwise_cfg", next(iter(both & paramwise.keys())))
        return {"decay_norms": False} if both <= paramwise.keys() else {}

    def _schedule(self) -> dict[str, Any]:
        schedulers = self._config.get("param_scheduler") or []
        fields: dict[str, Any] = {"schedule": "constant"}
        for scheduler in [schedulers] if isinstance(schedulers, Mapping) else schedulers:
            kind, by_epoch = scheduler["type"], scheduler.get("by_epoch", True)
            if kind == "LinearLR" and not by_epoch and not scheduler.get("begin"):
                fields |= {"warmup_steps": scheduler["end"], "warmup_start": scheduler["start_factor"]}
            elif kind == "MultiStepLR":
                total = self._total(by_epoch=by_epoch)
                milestones = [round(m / total, 6) for m in scheduler["milestones"]]
                fields |= {"schedule": "milestones", "milestones": milestones, "gamma": scheduler.get("gamma", 0.1)}
            elif kind == "PolyLR" and not scheduler.get("begin"):
                fields |= {"schedule": "poly", "power": scheduler.get("power", 1.0)} | self._last(scheduler)
            elif kind == "CosineAnnealingLR" and not scheduler.get("begin"):
                fields |= {"schedule": "cosine"} | self._last(scheduler)
            else:
                self._reject("param_scheduler", kind)
        return fields

    def _total(self, *, by_epoch: bool) -> float:
        loop = self._config["train_cfg"]
        key = "max_epochs" if by_epoch else "max_iters"
        if key not in loop:
            raise RecipeError(f"{self._where}: param_scheduler and train_cfg use different units: use epochs in both")
        return float(loop[key])

    def _last(self, scheduler: Mapping[str, Any]) -> dict[str, Any]:
        return {"final_lr": scheduler.get("eta_min", 0.0) / self._config["optim_wrapper"]["optimizer"]["lr"]}

    def _batch(self) -> dict[str, Any]:
        base = (self._config.get("auto_scale_lr") or {}).get("base_batch_size")
        return {} if base is None else {"batch": base}

    def _pixels(self, preprocessor: Mapping[str, Any]) -> dict[str, Any]:
        names = ("type", "mean", "std", "bgr_to_rgb", "pad_size_divisor", "pad_mask", "mask_pad_value", "pad_seg")
        known: dict[str, Any] = {**dict.fromkeys([*names, "seg_pad_value"], ...), "batch_augments": None}
        self._check_keys("data_preprocessor", preprocessor, known)
        if "mean" not in preprocessor:
            return {"pixel_mean": [0.0, 0.0, 0.0], "pixel_std": [1.0, 1.0, 1.0]}
        mean, std = list(preprocessor["mean"]), list(preprocessor["std"])
        if not preprocessor.get("bgr_to_rgb", False):  # images were blue, green, red
            mean, std = mean[::-1], std[::-1]
        return {"pixel_mean": mean, "pixel_std": std, "backbone_pixels": True}

    def _images(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"flip": 0.0}
        for transform in self._pipeline():
            kind = transform["type"].removeprefix("mmdet.")
            if kind == "Resize":
                fields |= _size(transform["scale"]) | {"keep_ratio": bool(transform.get("keep_ratio"))}
            elif kind == "RandomResize" and (scales := _two_scales(transform)) is not None:
                low, high = scales
                fields |= _size(high) | {"keep_ratio": True, "scale_range": [min(low) / min(high), 1.0]}
            elif kind == "RandomFlip" and isinstance(transform.get("prob"), float):
                fields["flip"] = transform["prob"]
            elif kind not in _NEUTRAL_TRANSFORMS:
                self._reject("train_pipeline", kind)
        return fields

    def _pipeline(self) -> Sequence[Mapping[str, Any]]:
        dataset = (self._config.get("train_dataloader") or {}).get("dataset") or {}
        while isinstance(dataset.get("dataset"), Mapping):
            dataset = dataset["dataset"]
        pipeline: Sequence[Mapping[str, Any]] = dataset.get("pipeline") or self._config.get("train_pipeline") or ()
        return pipeline


def _size(scale: Sequence[int]) -> dict[str, Any]:
    """Return the input size, a multiple of 32, that holds images resized to `scale` in either order of its sides."""
    short, long = sorted(math.ceil(side / _STRIDE) * _STRIDE for side in scale)
    return {"input_size": [short, long]}


def _two_scales(transform: Mapping[str, Any]) -> tuple[Sequence[int], Sequence[int]] | None:
    """Return both scales of a RandomResize that varies the short side alone."""
    scale = transform.get("scale")
    if not isinstance(scale, list | tuple) or len(scale) != 2 or not all(isinstance(s, list | tuple) for s in scale):
        return None
    low, high = sorted(scale, key=min)
    return (low, high) if max(low) == max(high) and transform.get("keep_ratio") else None


def _frozen(model: Mapping[str, Any]) -> dict[str, Any]:
    backbone = model.get("backbone") or {}
    stages = max(0, backbone.get("frozen_stages", -1))
    return {"frozen_stages": stages, "backbone_norm": "frozen" if backbone.get("norm_eval") else "running"}
