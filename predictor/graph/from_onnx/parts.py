"""Moves of a value's parts that exporters write as several slices, put back together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from predictor.graph.from_onnx.call import Operation
from predictor.graph.from_onnx.file import OnnxFile


def numbers(file: OnnxFile, name: str) -> list[float] | None:
    """Values of a small constant; None for what is none."""
    if name not in file.valued:
        return None
    found: list[float] = file.values(name).flatten().tolist()
    return found


def rolled(file: OnnxFile, operations: list[Operation]) -> list[Operation]:
    """Two slices of one value, its end put before its beginning, are a roll; rolls after each other are one."""
    maker = {name: one for one in operations for name in one.outputs}
    made = dict[str, Operation]()
    for one in operations:
        if one.kind != "Concat" or len(one.inputs) != 2:
            continue
        last, first = (_slice(file, maker[name]) if name in maker else None for name in one.inputs)
        if last is not None and first is not None:
            (source, axis, start, end), (other, other_axis, begin, cut) = last, first
            axes = {axis, other_axis, one.attributes.get("axis", 0)}
            if source == other and len(axes) == 1 and begin == 0 and cut == start < end:
                above = made.get(source, Operation("Roll", (source,), ()))
                shifts = [*above.attributes.get("shifts", []), -int(start)]
                settings = {"shifts": shifts, "axes": [*above.attributes.get("axes", []), axis]}
                made[one.outputs[0]] = Operation("Roll", above.inputs, one.outputs, settings)
    return [made.get(one.outputs[0], one) for one in operations]


def _slice(file: OnnxFile, operation: Operation) -> tuple[str, int, float, float] | None:
    """Value, axis, start and end of a slice along one axis in steps of one."""
    if operation.kind != "Slice" or len(operation.inputs) < 4:
        return None
    told = [numbers(file, name) for name in operation.inputs[1:] if name]
    if any(values is None or len(values) != 1 for values in told) or (len(told) > 3 and told[3] != [1]):
        return None
    start, end, axis = (values[0] for values in told[:3] if values)
    return operation.inputs[0], int(axis), start, end


def unbound(file: OnnxFile, operations: list[Operation]) -> list[Operation]:
    """All places along an axis, picked one by one, are picked at once."""
    read = Counter(name for one in operations for name in one.inputs)
    squeezed = {
        one.inputs[0]: one.outputs[0] for one in operations if one.kind == "Squeeze" and read[one.inputs[0]] == 1
    }
    picked: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for one in operations:
        for source, axis, place, name in _picks(file, one, squeezed):
            picked[source, axis][place] = name
    maker = {name: number for number, one in enumerate(operations) for name in one.outputs}
    new, gone = dict[int, Operation](), set[int]()
    for (source, axis), places in picked.items():
        if len(places) > 1 and sorted(places) == list(range(len(places))):
            names = tuple(places[place] for place in range(len(places)))
            first = min(maker[name] for name in names)
            new[first] = Operation("Unbind", (source,), names, {"axis": axis})
            gone |= {maker[name] for name in names} - {first}
    return [new.get(number, one) for number, one in enumerate(operations) if number not in gone]


def _picks(file: OnnxFile, operation: Operation, squeezed: Mapping[str, str]) -> Iterator[tuple[str, int, int, str]]:
    """Value, axis, place, and what that place of the value is called. squeezed: names after the axis is gone."""
    axis = operation.attributes.get("axis", 0)
    if operation.kind == "Gather":
        places = numbers(file, operation.inputs[1])
        if places is not None and not file.arrays[operation.inputs[1]].dims:
            yield operation.inputs[0], axis, int(places[0]), operation.outputs[0]
    elif operation.kind == "Split" and all(name in squeezed for name in operation.outputs):
        for place, name in enumerate(operation.outputs):
            yield operation.inputs[0], axis, place, squeezed[name]
    elif (part := _slice(file, operation)) and operation.outputs[0] in squeezed:
        source, axis, start, end = part
        if end == start + 1:
            yield source, axis, int(start), squeezed[operation.outputs[0]]


def parted(file: OnnxFile, operations: list[Operation]) -> list[Operation]:
    """Slices of one value that follow each other from its beginning are a split."""
    found: dict[tuple[str, int], list[tuple[float, float, int]]] = defaultdict(list)
    for number, one in enumerate(operations):
        if part := _slice(file, one):
            source, axis, start, end = part
            found[source, axis].append((start, end, number))
    new, gone = dict[int, Operation](), set[int]()
    for (source, axis), parts in found.items():
        parts.sort()
        bounds = [0.0, *(end for _, end, _ in parts)]
        if len(parts) > 1 and [start for start, _, _ in parts] == bounds[:-1] and bounds == sorted(bounds):
            numbers_ = [number for _, _, number in parts]
            names = tuple(operations[number].outputs[0] for number in numbers_)
            settings = {"axis": axis, "bounds": [int(bound) for bound in bounds]}
            new[min(numbers_)] = Operation("Parts", (source,), names, settings)
            gone |= set(numbers_) - {min(numbers_)}
    return [new.get(number, one) for number, one in enumerate(operations) if number not in gone]
