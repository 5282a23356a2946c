"""An example, which is an image and its annotations as tensors, and its packed form in one buffer.

Names of tensors: `image` (3, h, w) uint8; `masks` (n, h, w) bool; `semantic` (h, w) uint8 class ids, VOID where
unknown; `boxes` (n, 4) x0, y0, x1, y1; `joints` (J, 3) x, y, visibility, measured from the centre of the first pixel.
These follow the image when it is cropped, resized or mirrored, see `view.py`. All others are a task's own.
Tensors whose names begin with `truth_` are in pixels of the stored image, and metrics use them on the CPU.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Example = dict[str, Tensor]
TRUTH = "truth_"  # prefix of what only metrics need

_ALIGNMENT = 16  # bytes, so that a part of a buffer can be viewed as any type
_Entry = tuple[str, str, list[int], bool]  # name, type, shape, whether stored as (h, w, 3)


@dataclass(frozen=True, slots=True)
class PackedExamples:
    """Some examples in one uint8 buffer: it is sent between processes and to a device as a whole."""

    buffer: Tensor
    entries: tuple[tuple[_Entry, ...], ...]

    def pin_memory(self) -> PackedExamples:
        """Return a copy in page-locked memory, which a GPU reads while it computes."""
        return PackedExamples(self.buffer.pin_memory(), self.entries)

    def unpack(self, device: torch.device | str = "cpu") -> list[Example]:
        """Return the examples as views of one buffer on `device`; the truth stays on the CPU."""
        moved, start, examples = self.buffer.to(device, non_blocking=True), 0, list[Example]()
        for entries in self.entries:
            example: Example = {}
            for entry in entries:
                source = self.buffer if entry[0].startswith(TRUTH) else moved
                example[entry[0]], start = _take(source, start, entry)
            examples.append(example)
        return examples


def pack(examples: Sequence[Example]) -> PackedExamples:
    """Pack examples of any sizes."""
    entries = tuple(tuple(_entry(name, value) for name, value in example.items()) for example in examples)
    sizes = [_padded(value.nbytes) for example in examples for value in example.values()]
    buffer = torch.empty(sum(sizes), dtype=torch.uint8)
    start = 0
    for value, size in zip(_values(examples), sizes, strict=True):
        flat = _stored(value)
        buffer[start : start + value.nbytes] = flat.reshape(-1).view(torch.uint8)
        start += size
    return PackedExamples(buffer, entries)


def to_bytes(example: Example) -> bytes:
    """Return an example as bytes: a header in JSON, and its tensors. Masks take a bit a pixel."""
    compact = {
        name: _to_bits(value) if value.dtype == torch.bool and value.dim() > 2 else value
        for name, value in example.items()
    }
    widths = {name: value.shape[-1] for name, value in example.items() if value.dtype == torch.bool and value.dim() > 2}
    packed = pack([compact])
    header = json.dumps([packed.entries[0], widths]).encode()
    return len(header).to_bytes(4, "little") + header + packed.buffer.numpy().tobytes()


def from_bytes(content: bytearray) -> Example:
    """Return the example that `to_bytes` wrote. Its tensors share the memory of `content`."""
    start = 4 + int.from_bytes(content[:4], "little")
    entries, widths = json.loads(content[4:start])
    # A copy, unless the tensors are aligned in memory anyway.
    buffer = (
        torch.frombuffer(content, dtype=torch.uint8, offset=start)
        if len(content) > start
        else torch.empty(0, dtype=torch.uint8)
    )
    if buffer.numel() and buffer.data_ptr() % _ALIGNMENT:
        buffer = buffer.clone()
    example = PackedExamples(buffer, (tuple(map(tuple, entries)),)).unpack()[0]
    return {name: _from_bits(value, widths[name]) if name in widths else value for name, value in example.items()}


def _values(examples: Sequence[Example]) -> Iterator[Tensor]:
    return (value for example in examples for value in example.values())


def _is_interleaved(value: Tensor) -> bool:
    """Return whether this is an image whose colours are next to each other in memory, as decoders write them."""
    return value.dim() == 3 and value.shape[0] == 3 and value.permute(1, 2, 0).is_contiguous()


def _stored(value: Tensor) -> Tensor:
    return value.permute(1, 2, 0) if _is_interleaved(value) else value.contiguous()


def _entry(name: str, value: Tensor) -> _Entry:
    return name, str(value.dtype).removeprefix("torch."), list(value.shape), _is_interleaved(value)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _take(buffer: Tensor, start: int, entry: _Entry) -> tuple[Tensor, int]:
    """Return the tensor at `start`, and where the next one starts."""
    _, kind, shape, interleaved = entry
    dtype: torch.dtype = getattr(torch, kind)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    flat = buffer[start : start + size].view(dtype)
    value = flat.view(shape[1], shape[2], 3).permute(2, 0, 1) if interleaved else flat.view(shape)
    return value, start + _padded(size)


def _to_bits(masks: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(masks.numpy(), axis=-1))


def _from_bits(bits: Tensor, width: int) -> Tensor:
    return torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1, count=width)).view(torch.bool)
