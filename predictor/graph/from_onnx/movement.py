"""What moves, picks or retypes values, and what computes with shapes."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from predictor.graph.from_onnx.call import DTYPES, Call, Made, UnsupportedError, operation


@operation("DepthToSpace")
def _depth_to_space(c: Call) -> Tensor:
    return F.pixel_shuffle(c[0], c.get("blocksize"))


@operation("SpaceToDepth")
def _space_to_depth(c: Call) -> Tensor:
    return F.pixel_unshuffle(c[0], c.get("blocksize"))


@operation("Flatten")
def _flatten(c: Call) -> Tensor:
    axis = c.get("axis", 1)
    return c[0].reshape(prod(c[0].shape[:axis]), -1)


@operation("Reshape")
def _reshape(c: Call) -> Tensor:
    sizes = c.setting("shape", 1)
    if not c.get("allowzero", 0):
        sizes = [c[0].shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return c[0].reshape(sizes)


@operation("Transpose")
def _transpose(c: Call) -> Tensor:
    return c[0].permute(c.get("perm") or list(reversed(range(c[0].dim()))))


@operation("Squeeze")
def _squeeze(c: Call) -> Tensor:
    axes = c.setting("axes", 1)
    return c[0].squeeze() if axes is None else c[0].squeeze(tuple(axes))


@operation("Unsqueeze")
def _unsqueeze(c: Call) -> Tensor:
    found, axes = c[0], c.setting("axes", 1)
    for axis in sorted(axis % (found.dim() + len(axes)) for axis in axes):
        found = found.unsqueeze(axis)
    return found


@operation("Expand")
def _expand(c: Call) -> Tensor:
    shape = [1] * (c[0].dim() - len(c.known(1))) + c.known(1)
    have = [1] * (len(shape) - c[0].dim()) + list(c[0].shape)
    return c[0].expand([max(pair) if 0 not in pair else 0 for pair in zip(shape, have, strict=True)])


@operation("Tile")
def _tile(c: Call) -> Tensor:
    return c[0].repeat(c.known(1))


@operation("Cast", "CastLike")
def _cast(c: Call) -> Tensor:
    return c[0].to(DTYPES.get(c.get("to"), torch.float32)) if c.operation.kind == "Cast" else c[0].to(c[1].dtype)


@operation("Concat")
def _concat(c: Call) -> Tensor:
    return torch.cat([t for t in c.given if t is not None], c.get("axis", 0))


@operation("Split")
def _split(c: Call) -> Made:
    axis, sizes, parts = c.get("axis", 0), c.setting("split", 1), len(c.operation.outputs)
    return torch.split(c[0], sizes or -(-c[0].shape[axis] // parts), axis)


@operation("Parts")
def _parts(c: Call) -> Made:
    """Not ONNX's: what lies between bounds along an axis."""
    axis, bounds = c.get("axis"), c.get("bounds")
    side = c[0].shape[axis]
    if bounds[-1] >= side:
        return torch.split(c[0], [min(end, side) - start for start, end in pairwise(bounds)], axis)
    return [c[0].narrow(axis, start, end - start) for start, end in pairwise(bounds)]


@operation("Unbind")
def _unbind(c: Call) -> Made:
    """Not ONNX's: all places along an axis, each without it."""
    if c[0].shape[c.get("axis")] == len(c.operation.outputs):
        return c[0].unbind(c.get("axis"))
    return [c[0].select(c.get("axis"), place) for place in range(len(c.operation.outputs))]


@operation("Slice")
def _slice(c: Call) -> Tensor:
    starts, ends = c.setting("starts", 1), c.setting("ends", 2)
    axes = c.setting("axes", 3) or list(range(len(starts)))
    steps = c.known(4) if c.has(4) else [1] * len(starts)
    found = c[0]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        side = found.shape[axis]
        chosen = range(side)[start:end:step]
        if step < 0:
            found, chosen = found.flip(axis), range(side - 1 - chosen.start, side - 1 - chosen.stop, -step)
        if chosen != range(side):
            found = found[(*[slice(None)] * (axis % found.dim()), slice(chosen.start, chosen.stop, chosen.step))]
    return found


@operation("Roll")
def _roll(c: Call) -> Tensor:
    """Not ONNX's: moved along axes, what leaves at one end enters at the other."""
    return c[0].roll(c.get("shifts"), c.get("axes"))


@operation("Gather")
def _gather(c: Call) -> Tensor:
    x, axis, places = c[0], c.get("axis", 0) % c[0].dim(), c[1]
    if places.dim() == 0:
        return x.select(axis, int(c.known(1)[0]))
    if axis == 0 and x.dim() == 2 and x.is_meta and places.is_meta:
        return F.embedding(places, x)
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    if not places.is_meta:
        places = torch.where(places < 0, places + x.shape[axis], places)
        if torch.equal(places.flatten(), torch.arange(x.shape[axis])):
            return x.reshape(shape)  # everything, in order
    return x.index_select(axis, places.flatten()).reshape(shape)


@operation("GatherElements")
def _gather_elements(c: Call) -> Tensor:
    return torch.gather(c[0], c.get("axis", 0), c[1])


@operation("ScatterElements", "Scatter")
def _scatter_elements(c: Call) -> Tensor:
    return torch.scatter(c[0], c.get("axis", 0), c[1], c[2])


@operation("ScatterND")
def _scatter(c: Call) -> Tensor:
    return c[0].index_put(c[1].unbind(-1), c[2])


@operation("Where")
def _where(c: Call) -> Tensor:
    return torch.where(c[0], c[1], c[2])


@operation("TopK")
def _top(c: Call) -> Made:
    made: Made = c[0].topk(int(c.setting("k", 1)[0]), c.get("axis", -1))
    return made


@operation("CumSum")
def _cumulated(c: Call) -> Tensor:
    return c[0].cumsum(int(c.known(1)[0]))


@operation("Trilu")
def _triangle(c: Call) -> Tensor:
    diagonal = int(c.known(1)[0]) if c.has(1) else 0
    return c[0].triu(diagonal) if c.get("upper", 1) else c[0].tril(diagonal)


@operation("Shape")
def _shape(c: Call) -> Tensor:
    return torch.tensor(list(c[0].shape)[c.get("start", 0) : c.get("end")])


@operation("Size")
def _size(c: Call) -> Tensor:
    return torch.tensor(c[0].numel())


@operation("Range")
def _range(c: Call) -> Tensor:
    return torch.arange(*(c.known(number)[0] for number in range(3)))


@operation("ConstantOfShape")
def _filled(c: Call) -> Tensor:
    value = c[1] if c.has(1) else torch.zeros(())
    return value.reshape(()).expand(c.known(0))


@operation("NonZero")
def _places(c: Call) -> Tensor:
    if c[0].is_meta:
        raise UnsupportedError  # how many there are is a matter of values
    return c[0].nonzero().t()
