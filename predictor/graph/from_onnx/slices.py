"""Fuse slices: exporters write rolls, unbinds and splits of a value as several slices."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from predictor.graph.from_onnx.call import Operation
from predictor.graph.from_onnx.file import OnnxFile


def constant_values(file: OnnxFile, name: str) -> list[float] | None:
    """Return the values of a small constant; None if the name is not one."""
    if name not in file.valued:
        return None
    values: list[float] = file.values(name).flatten().tolist()
    return values


def fuse_rolls(file: OnnxFile, operations: list[Operation]) -> list[Operation]:
    """Fuse two slices of a value, concatenated in reverse order, into a roll, and successive rolls into one."""
    producer = {name: operation for operation in operations for name in operation.outputs}
    rolls = dict[str, Operation]()
    for concat in operations:
        if concat.kind != "Concat" or len(concat.inputs) != 2:
            continue
        last, first = (_slice(file, producer[name]) if name in producer else None for name in concat.inputs)
        if last is not None and first is not None:
            (source, axis, last_start, last_end), (other, other_axis, first_start, first_end) = last, first
            axes = {axis, other_axis, concat.attributes.get("axis", 0)}
            if source == other and len(axes) == 1 and first_start == 0 and first_end == last_start < last_end:
                earlier = rolls.get(source, Operation("Roll", (source,), ()))
                shifts = [*earlier.attributes.get("shifts", []), -int(last_start)]
                settings = {"shifts": shifts, "axes": [*earlier.attributes.get("axes", []), axis]}
                rolls[concat.outputs[0]] = Operation("Roll", earlier.inputs, concat.outputs, settings)
    return [rolls.get(operation.outputs[0], operation) for operation in operations]


def _slice(file: OnnxFile, operation: Operation) -> tuple[str, int, float, float] | None:
    """Return value, axis, start and end of a slice along one axis in steps of one; None if the operation is no such."""
    if operation.kind != "Slice" or len(operation.inputs) < 4:
        return None
    settings = [constant_values(file, name) for name in operation.inputs[1:] if name]
    if any(values is None or len(values) != 1 for values in settings) or (len(settings) > 3 and settings[3] != [1]):
        return None
    start, end, axis = (values[0] for values in settings[:3] if values)
    return operation.inputs[0], int(axis), start, end


def fuse_unbinds(file: OnnxFile, operations: list[Operation]) -> list[Operation]:
    """Fuse the selection of every index along an axis, one by one, into an unbind."""
    reads = Counter(name for operation in operations for name in operation.inputs)
    squeezed = {
        operation.inputs[0]: operation.outputs[0]
        for operation in operations
        if operation.kind == "Squeeze" and reads[operation.inputs[0]] == 1
    }
    selected: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for operation in operations:
        for source, axis, index, name in _selections(file, operation, squeezed):
            selected[source, axis][index] = name
    producer = {name: number for number, operation in enumerate(operations) for name in operation.outputs}
    fused, removed = dict[int, Operation](), set[int]()
    for (source, axis), names_by_index in selected.items():
        if len(names_by_index) > 1 and sorted(names_by_index) == list(range(len(names_by_index))):
            names = tuple(names_by_index[index] for index in range(len(names_by_index)))
            first = min(producer[name] for name in names)
            fused[first] = Operation("Unbind", (source,), names, {"axis": axis})
            removed |= {producer[name] for name in names} - {first}
    return _replaced(operations, fused, removed)


def _selections(
    file: OnnxFile, operation: Operation, squeezed: Mapping[str, str]
) -> Iterator[tuple[str, int, int, str]]:
    """Yield value, axis, index and the name of the selection, for every single index that the operation selects.

    squeezed: the names of selections after their axis was removed.
    """
    axis = operation.attributes.get("axis", 0)
    if operation.kind == "Gather":
        indices = constant_values(file, operation.inputs[1])
        if indices is not None and not file.arrays[operation.inputs[1]].dims:
            yield operation.inputs[0], axis, int(indices[0]), operation.outputs[0]
    elif operation.kind == "Split" and all(name in squeezed for name in operation.outputs):
        for index, name in enumerate(operation.outputs):
            yield operation.inputs[0], axis, index, squeezed[name]
    elif (part := _slice(file, operation)) and operation.outputs[0] in squeezed:
        source, axis, start, end = part
        if end == start + 1:
            yield source, axis, int(start), squeezed[operation.outputs[0]]


def fuse_splits(file: OnnxFile, operations: list[Operation]) -> list[Operation]:
    """Fuse successive slices of a value, from its beginning, into a split."""
    slices: dict[tuple[str, int], list[tuple[float, float, int]]] = defaultdict(list)
    for number, operation in enumerate(operations):
        if part := _slice(file, operation):
            source, axis, start, end = part
            slices[source, axis].append((start, end, number))
    fused, removed = dict[int, Operation](), set[int]()
    for (source, axis), parts in slices.items():
        parts.sort()
        bounds = [0.0, *(end for _, end, _ in parts)]
        if len(parts) > 1 and [start for start, _, _ in parts] == bounds[:-1] and bounds == sorted(bounds):
            numbers = [number for _, _, number in parts]
            names = tuple(operations[number].outputs[0] for number in numbers)
            settings = {"axis": axis, "bounds": [int(bound) for bound in bounds]}
            fused[min(numbers)] = Operation("Parts", (source,), names, settings)
            removed |= set(numbers) - {min(numbers)}
    return _replaced(operations, fused, removed)


def _replaced(operations: list[Operation], fused: Mapping[int, Operation], removed: set[int]) -> list[Operation]:
    """Return the operations with those of `fused` in place of the old ones, by number, and without `removed`."""
    return [fused.get(number, operation) for number, operation in enumerate(operations) if number not in removed]
