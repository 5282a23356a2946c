"""What the names of joints say: sides, torso, head and limbs."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ONE_SIDE = (("ankle", "knee"), ("knee", "hip"), ("wrist", "elbow"), ("elbow", "shoulder"), ("shoulder", "hip"))
# Joints that a line connects in a picture, as the Leeds Sports Pose, MPII and COCO data sets call them.
_LIMBS = (
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in _ONE_SIDE),
    *((f"left_{part}", f"right_{part}") for part in ("hip", "shoulder")),
    *(("neck", "head_top"), ("upper_neck", "head_top"), ("thorax", "upper_neck"), ("pelvis", "thorax")),
    *(("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear")),
)
_OTHER_SIDE = {"left": "right", "right": "left"}


def plain(name: str) -> str:
    """A joint's name in one spelling: `Left Ankle` and `l_ankle` are `left_ankle`."""
    spelt = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return re.sub(r"^r_", "right_", re.sub(r"^l_", "left_", spelt))


def mirror_order(names: Sequence[str]) -> list[int]:
    """For each joint the position of its namesake on the other side; its own where it has none."""
    at = {plain(name): i for i, name in enumerate(names)}
    order = []
    for i, name in enumerate(names):
        side, _, rest = plain(name).partition("_")
        order.append(at.get(f"{_OTHER_SIDE[side]}_{rest}", i) if side in _OTHER_SIDE else i)
    return order


def torso(names: Sequence[str]) -> tuple[int, int] | None:
    """Left shoulder and right hip, whose distance the Leeds Sports Pose data set measures errors by."""
    return _pair(names, ("left_shoulder",), ("right_hip",))


def head_segment(names: Sequence[str]) -> tuple[int, int] | None:
    """Top of the head and neck, or MPII's upper neck."""
    return _pair(names, ("head_top", "top_head", "headtop", "top_of_head"), ("upper_neck", "neck"))


def limbs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of joints that a line connects in a picture; those the data set lacks are left out."""
    where = {plain(name): i for i, name in enumerate(names)}
    return [(where[a], where[b]) for a, b in _LIMBS if a in where and b in where]


def _pair(names: Sequence[str], first: Sequence[str], second: Sequence[str]) -> tuple[int, int] | None:
    at = {plain(name): i for i, name in enumerate(names)}
    found = [next((at[name] for name in group if name in at), None) for group in (first, second)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])
