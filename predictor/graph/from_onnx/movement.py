"""ONNX operations that move, select or convert values, or compute with shapes."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from predictor.graph.from_onnx.call import DTYPES, Call, Result, UnsupportedError, operation


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
    result, axes = c[0], c.setting("axes", 1)
    for axis in sorted(axis % (result.dim() + len(axes)) for axis in axes):
        result = result.unsqueeze(axis)
    return result


@operation("Expand")
def _expand(c: Call) -> Tensor:
    shape = [1] * (c[0].dim() - len(c.input_values(1))) + c.input_values(1)
    current = [1] * (len(shape) - c[0].dim()) + list(c[0].shape)
    return c[0].expand([max(pair) if 0 not in pair else 0 for pair in zip(shape, current, strict=True)])


@operation("Tile")
def _tile(c: Call) -> Tensor:
    return c[0].repeat(c.input_values(1))


@operation("Cast", "CastLike")
def _cast(c: Call) -> Tensor:
    return c[0].to(DTYPES.get(c.get("to"), torch.float32)) if c.operation.kind == "Cast" else c[0].to(c[1].dtype)


@operation("Concat")
def _concat(c: Call) -> Tensor:
    return torch.cat([t for t in c.inputs if t is not None], c.get("axis", 0))


@operation("Split")
def _split(c: Call) -> Result:
    axis, sizes, parts = c.get("axis", 0), c.setting("split", 1), len(c.operation.outputs)
    return torch.split(c[0], sizes or -(-c[0].shape[axis] // parts), axis)


@operation("Parts")
def _parts(c: Call) -> Result:
    """Made by `fuse_splits`: the parts of a value between `bounds` along an axis."""
    axis, bounds = c.get("axis"), c.get("bounds")
    side = c[0].shape[axis]
    if bounds[-1] >= side:
        return torch.split(c[0], [min(end, side) - start for start, end in pairwise(bounds)], axis)
    return [c[0].narrow(axis, start, end - start) for start, end in pairwise(bounds)]


@operation("Unbind")
def _unbind(c: Call) -> Result:
    """Made by `fuse_unbinds`: all slices along an axis, without the axis."""
    if c[0].shape[c.get("axis")] == len(c.operation.outputs):
        return c[0].unbind(c.get("axis"))
    return [c[0].select(c.get("axis"), index) for index in range(len(c.operation.outputs))]


@operation("Slice")
def _slice(c: Call) -> Tensor:
    starts, ends = c.setting("starts", 1), c.setting("ends", 2)
    axes = c.setting("axes", 3) or list(range(len(starts)))
    steps = c.input_values(4) if c.has(4) else [1] * len(starts)
    result = c[0]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        side = result.shape[axis]
        indices = range(side)[start:end:step]
        if step < 0:
            result, indices = result.flip(axis), range(side - 1 - indices.start, side - 1 - indices.stop, -step)
        if indices != range(side):
            result = result[(*[slice(None)] * (axis % result.dim()), slice(indices.start, indices.stop, indices.step))]
    return result


@operation("Roll")
def _roll(c: Call) -> Tensor:
    """Made by `fuse_rolls`: a circular shift along axes."""
    return c[0].roll(c.get("shifts"), c.get("axes"))


@operation("Gather")
def _gather(c: Call) -> Tensor:
    x, axis, indices = c[0], c.get("axis", 0) % c[0].dim(), c[1]
    if indices.dim() == 0:
        return x.select(axis, int(c.input_values(1)[0]))
    if axis == 0 and x.dim() == 2 and x.is_meta and indices.is_meta:
        return F.embedding(indices, x)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if not indices.is_meta:
        indices = torch.where(indices < 0, indices + x.shape[axis], indices)
        if torch.equal(indices.flatten(), torch.arange(x.shape[axis])):
            return x.reshape(shape)  # all values, in order
    return x.index_select(axis, indices.flatten()).reshape(shape)


@operation("GatherElements")
def _gather_elements(c: Call) -> Tensor:
    return torch.gather(c[0], c.get("axis", 0), c[1])


@operation("ScatterElements", "Scatter")
def _scatter_elements(c: Call) -> Tensor:
    return torch.scatter(c[0], c.get("axis", 0), c[1], c[2])


@operation("ScatterND")
def _scatter_nd(c: Call) -> Tensor:
    return c[0].index_put(c[1].unbind(-1), c[2])


@operation("Where")
def _where(c: Call) -> Tensor:
    return torch.where(c[0], c[1], c[2])


@operation("TopK")
def _top_k(c: Call) -> Result:
    result: Result = c[0].topk(int(c.setting("k", 1)[0]), c.get("axis", -1))
    return result


@operation("CumSum")
def _cumulative_sum(c: Call) -> Tensor:
    return c[0].cumsum(int(c.input_values(1)[0]))


@operation("Trilu")
def _triangle(c: Call) -> Tensor:
    diagonal = int(c.input_values(1)[0]) if c.has(1) else 0
    return c[0].triu(diagonal) if c.get("upper", 1) else c[0].tril(diagonal)


@operation("Shape")
def _shape(c: Call) -> Tensor:
    return torch.tensor(list(c[0].shape)[c.get("start", 0) : c.get("end")])


@operation("Size")
def _size(c: Call) -> Tensor:
    return torch.tensor(c[0].numel())


@operation("Range")
def _range(c: Call) -> Tensor:
    return torch.arange(*(c.input_values(number)[0] for number in range(3)))


@operation("ConstantOfShape")
def _filled(c: Call) -> Tensor:
    value = c[1] if c.has(1) else torch.zeros(())
    return value.reshape(()).expand(c.input_values(0))


@operation("NonZero")
def _nonzero(c: Call) -> Tensor:
    if c[0].is_meta:
        raise UnsupportedError  # the number of results depends on values
    return c[0].nonzero().t()
