"""An example, which is an image and its annotations as tensors, and its packed form in one buffer.

Names of tensors: `image` (3, h, w) uint8; `masks` (n, h, w) bool; `semantic` (h, w) uint8 class ids, VOID where
unknown; `boxes` (n, 4) x0, y0, x1, y1; `joints` (J, 3) x, y, visibility, measured from the centre of the first pixel.
These follow the image when it is cropped, resized or mirrored, see `view.py`. All others are a task's own.
Tensors whose names begin with `truth_` are in pixels of the stored image, and metrics use them on the CPU.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Example = dict[str, Tensor]
TRUTH = "truth_"  # prefix of what only metrics need

_ALIGNMENT = 16  # bytes, so that a part of a buffer can be viewed as any type
_BITS, _INTERLEAVED = "bits", "hwc"  # memory layouts in the buffer; others are contiguous
_Entry = tuple[str, str, list[int], str]  # name, type, shape, memory layout


@dataclass(frozen=True, slots=True)
class PackedExamples:
    """Some examples in one uint8 buffer: it is sent between processes and to a device as a whole.

    Masks take a bit a pixel.
    """

    buffer: Tensor
    entries: tuple[tuple[_Entry, ...], ...]

    def pin_memory(self) -> PackedExamples:
        """Return a copy in page-locked memory, which a GPU reads while it computes."""
        return PackedExamples(self.buffer.pin_memory(), self.entries)

    def unpack(self, device: torch.device | str = "cpu") -> list[Example]:
        """Return the examples, mostly as views of one buffer on `device`; the truth stays on the CPU."""
        moved, start, examples = self.buffer.to(device, non_blocking=True), 0, list[Example]()
        for entries in self.entries:
            example: Example = {}
            for entry in entries:
                source = self.buffer if entry[0].startswith(TRUTH) else moved
                example[entry[0]], size = _take(source[start:], entry)
                start += _padded(size)
            examples.append(example)
        return examples


def pack(examples: Sequence[Example]) -> PackedExamples:
    """Pack examples of any sizes."""
    entries = tuple(tuple(_entry(name, value) for name, value in example.items()) for example in examples)
    parts = [_stored(value).reshape(-1).view(torch.uint8) for example in examples for value in example.values()]
    buffer = torch.empty(sum(_padded(len(part)) for part in parts), dtype=torch.uint8)
    start = 0
    for part in parts:
        buffer[start : start + len(part)] = part
        start += _padded(len(part))
    return PackedExamples(buffer, entries)


def to_bytes(example: Example) -> bytes:
    """Return an example as bytes: a header in JSON, and its tensors."""
    packed = pack([example])
    header = json.dumps(packed.entries[0]).encode()
    return len(header).to_bytes(4, "little") + header + packed.buffer.numpy().tobytes()


def from_bytes(content: bytearray) -> Example:
    """Return the example that `to_bytes` wrote."""
    start = 4 + int.from_bytes(content[:4], "little")
    entries = tuple((name, kind, shape, how) for name, kind, shape, how in json.loads(content[4:start]))
    buffer = torch.empty(len(content) - start, dtype=torch.uint8)  # aligned, unlike the bytes
    if len(buffer):
        buffer.copy_(torch.frombuffer(content, dtype=torch.uint8, offset=start))
    return PackedExamples(buffer, (entries,)).unpack()[0]


def _how(value: Tensor) -> str:
    if value.dtype == torch.bool and value.dim() == 3:
        return _BITS
    # An image whose colours are next to each other in memory, as decoders write them.
    interleaved = value.dim() == 3 and value.shape[0] == 3 and value.permute(1, 2, 0).is_contiguous()
    return _INTERLEAVED if interleaved else ""


def _entry(name: str, value: Tensor) -> _Entry:
    return name, str(value.dtype).removeprefix("torch."), list(value.shape), _how(value)


def _stored(value: Tensor) -> Tensor:
    match _how(value):
        case "bits":
            return torch.from_numpy(np.packbits(value.numpy(), axis=-1, bitorder="little"))
        case "hwc":
            return value.permute(1, 2, 0)
    return value.contiguous()


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _take(buffer: Tensor, entry: _Entry) -> tuple[Tensor, int]:
    """Return the tensor at the start of a buffer, and its bytes there."""
    _, kind, shape, how = entry
    if how == _BITS:
        count, height, width = shape
        size = count * height * -(-width // 8)
        return _from_bits(buffer[:size].view(count, height, -(-width // 8)), width), size
    dtype: torch.dtype = getattr(torch, kind)
    size = math.prod(shape) * dtype.itemsize
    flat = buffer[:size].view(dtype)
    value = flat.view(shape[1], shape[2], 3).permute(2, 0, 1) if how == _INTERLEAVED else flat.view(shape)
    return value, size


def _from_bits(bits: Tensor, width: int) -> Tensor:
    if bits.device.type == "cpu":
        masks = np.unpackbits(bits.numpy(), axis=-1, count=width, bitorder="little")
        return torch.from_numpy(masks).view(torch.bool)
    places = torch.arange(8, device=bits.device, dtype=torch.uint8)
    return (bits[..., None] >> places & 1).flatten(-2)[..., :width].bool()
