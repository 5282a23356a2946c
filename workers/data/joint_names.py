"""Derive sides, torso, head segment and limbs from the names of joints."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SAME_SIDE_LIMBS = (("ankle", "knee"), ("knee", "hip"), ("wrist", "elbow"), ("elbow", "shoulder"), ("shoulder", "hip"))
# Joints connected by a line in drawings, with the names of the Leeds Sports Pose, MPII and COCO data sets.
_LIMBS = (
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in _SAME_SIDE_LIMBS),
    *((f"left_{part}", f"right_{part}") for part in ("hip", "shoulder")),
    *(("neck", "head_top"), ("upper_neck", "head_top"), ("thorax", "upper_neck"), ("pelvis", "thorax")),
    *(("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear")),
)
_OTHER_SIDE = {"left": "right", "right": "left"}


def normalise(name: str) -> str:
    """Return a joint's name in one spelling: `Left Ankle` and `l_ankle` become `left_ankle`."""
    spelling = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return re.sub(r"^r_", "right_", re.sub(r"^l_", "left_", spelling))


def mirror_order(names: Sequence[str]) -> list[int]:
    """Return for each joint the position of its counterpart on the other side, or its own if it has none."""
    positions = _positions(names)
    order = []
    for i, name in enumerate(names):
        side, _, joint = normalise(name).partition("_")
        order.append(positions.get(f"{_OTHER_SIDE[side]}_{joint}", i) if side in _OTHER_SIDE else i)
    return order


def torso(names: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of left shoulder and right hip, whose distance is the unit of errors in PCK."""
    return _find_pair(names, ("left_shoulder",), ("right_hip",))


def head_segment(names: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of the top of the head and the neck (MPII: upper neck)."""
    return _find_pair(names, ("head_top", "top_head", "headtop", "top_of_head"), ("upper_neck", "neck"))


def limbs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of joints to connect in drawings, as far as the data set has them."""
    positions = _positions(names)
    return [(positions[a], positions[b]) for a, b in _LIMBS if a in positions and b in positions]


def _positions(names: Sequence[str]) -> dict[str, int]:
    return {normalise(name): i for i, name in enumerate(names)}


def _find_pair(names: Sequence[str], first: Sequence[str], second: Sequence[str]) -> tuple[int, int] | None:
    """Return the positions of two joints, each with several possible names; None if one is missing."""
    positions = _positions(names)
    a, b = (next((positions[name] for name in group if name in positions), None) for group in (first, second))
    return None if a is None or b is None else (a, b)
