"""Read checkpoints of PyTorch libraries, and write their weights as safetensors.

Known are the layouts of torchvision (a plain state_dict), timm, mmcv and mmengine (mmdet, mmpretrain and others),
and of DataParallel. A file is read without running code from it.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from orchestrator.errors import WeightsError
from predictor.errors import one_line

# Entries that hold a state_dict, best first: averaged weights are the ones that were evaluated. mmengine's
# `ema_state_dict` is left out, because its `state_dict` holds the averaged weights.
_ENTRIES = ("state_dict_ema", "model_ema", "params_ema", "state_dict", "model_state_dict", "model", "params", "net")
# Prefixes of all names, added by DataParallel, torch.compile and Lightning.
_WRAPPERS = ("module.", "_orig_mod.", "model.")
# In the configuration that mmdet keeps: strides are in other convolutions than those of the same names elsewhere.
_CAFFE_STYLE = re.compile(r"style\s*=\s*['\"]caffe['\"]")
# Prefixes of the backbone's names in a detector: torchvision's, then mmdet's.
_BACKBONES = ("backbone.body.", "backbone.")
_LONGEST_NAME = 1000
_PICKLES = 4  # at the beginning of a file in torch's older format


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of a checkpoint, each contiguous and with its own memory.

    entry: of the checkpoint that held them; empty if it is a plain state_dict. dropped: number of other entries in it:
    values that are no tensors, and weights that are not of the backbone.
    """

    tensors: Mapping[str, Tensor]
    entry: str
    dropped: int

    def to_safetensors(self) -> bytes:
        """Return the content of the file. Equal weights give equal bytes."""
        content: bytes = safetensors.torch.save(dict(sorted(self.tensors.items())), metadata={"format": "pt"})
        return content


def read_checkpoint(path: Path, entry: str = "") -> Checkpoint:
    """Read the weights of a checkpoint. entry: of the checkpoint; the best known one if empty.

    Raises WeightsError if the file cannot be read without running code from it, has no weights, or those of a
    caffe-style backbone.
    """
    loaded = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path)
    _refuse_caffe_style(loaded, path)
    entry, state = _state_dict(loaded, path, entry)
    tensors = {str(name): value for name, value in state.items() if _is_dense(value)}
    if not tensors:
        raise WeightsError(
            f"{path}: has no weights, but the entries {_names(loaded)}: choose the one with the weights by --entry"
        )
    kept = _backbone(_unwrapped(tensors))
    copies = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in kept.items()}
    return Checkpoint(copies, entry, len(state) - len(copies))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}: name a checkpoint or published weights") from None


def _load_safetensors(path: Path) -> Mapping[Any, Any]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: is not a readable safetensors file ({one_line(error)}): copy it again") from None
    return tensors


def _check_names(path: Path) -> None:
    """Raise ValueError for a name of thousands of characters, which torch would search for hours to explain it.

    Opcodes are listed, not run. Other errors are those of a damaged archive or pickle.
    """
    with path.open("rb") as file, ExitStack() as opened:
        stream: Any = file
        if zipfile.is_zipfile(file):
            archive = opened.enter_context(zipfile.ZipFile(file))
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            stream = opened.enter_context(archive.open(name))
        else:
            file.seek(0)
        for _ in range(_PICKLES):
            if not stream.peek(1):
                return
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST") and len(str(argument)) > _LONGEST_NAME:
                    raise ValueError("a name is too long")


def _load_torch(path: Path) -> Mapping[Any, Any]:
    try:
        _check_names(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its command line as one
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: {_refusal(error)}") from None
    except Exception as error:  # a damaged pickle makes torch's reader raise any
        raise WeightsError(f"{path}: is not a readable checkpoint ({one_line(error)}): copy it again") from None
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"{path}: holds a {type(loaded).__name__}, not weights by name: save the state_dict of the model"
        )
    return loaded


def _refuse_caffe_style(loaded: Mapping[Any, Any], path: Path) -> None:
    meta = loaded.get("meta")
    if isinstance(meta, Mapping) and any(_CAFFE_STYLE.search(str(meta.get(name))) for name in ("cfg", "config")):
        raise WeightsError(
            f"{path}: its backbone is caffe-style, with strides in other layers than networks here: name a checkpoint "
            "of style pytorch"
        )


def _refusal(error: pickle.UnpicklingError) -> str:
    """Return why torch refused the file, and what to do, without its advice to run the code in it."""
    text = " ".join(str(error).split())
    reason = next((text[text.find(mark) :] for mark in ("Unsupported ", "GLOBAL ") if mark in text), text)
    reason = reason.split(" was not an allowed", 1)[0].split(". ", 1)[0]
    return (
        f"holds more than weights ({reason[:120]}), and reading that could run code: where you trust the file, save "
        "its weights alone by torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW_FILE)"
    )


def _state_dict(loaded: Mapping[Any, Any], path: Path, entry: str) -> tuple[str, Mapping[Any, Any]]:
    if entry:
        if not isinstance(loaded.get(entry), Mapping):
            raise WeightsError(f"{path}: has no weights in '{entry}': its entries are {_names(loaded)}")
        return entry, loaded[entry]
    for name in _ENTRIES:
        if isinstance(inner := loaded.get(name), Mapping) and any(map(_is_dense, inner.values())):
            return name, inner
    return "", loaded


def _is_dense(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized


def _unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Remove prefixes that wrappers gave to all names. The counter of torch's AveragedModel has none."""
    tensors = {name: value for name, value in tensors.items() if name != "n_averaged"}
    for prefix in _WRAPPERS * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _backbone(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the weights of the backbone alone, under its own names, if others are there too."""
    for prefix in _BACKBONES:
        inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if inside:
            return inside
    return tensors


def _names(entries: Mapping[Any, Any]) -> str:
    shown = ", ".join(str(name) for name in list(entries)[:8])
    return f"{shown}, ..." if len(entries) > 8 else shown
