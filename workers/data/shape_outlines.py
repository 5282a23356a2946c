"""Outlines and poses of the objects in `shapes` scenes, centred at the origin and about two units large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

THINGS = ("disc", "square", "triangle", "star", "cross", "ring", "figure")
# Joints of a figure, in the order of the Leeds Sports Pose data set.
JOINTS = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top"),
)
# Pairs of joints connected by a limb.
LIMBS = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11), (2, 8), (3, 9), (12, 13))


def _polar(radii: Points) -> Points:
    """Return points at these radii and equally spaced angles, from the top."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) - np.pi / 2
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def outline(thing: str) -> Points:
    """Return the (P, 2) corners of an object's outer edge, about one unit from the centre. Rings have that of discs."""
    match thing:
        case "disc" | "ring":
            return _polar(np.ones(28))
        case "square":
            return np.array([[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]])
        case "triangle":
            return _polar(np.full(3, 1.1))
        case "star":
            return _polar(np.tile([1.15, 0.5], 5))
        case "cross":
            a, b = 0.33, 1.0
            corners = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a)]
            return np.array([*corners, (-b, -a), (-a, -a)])
        case _:
            raise ValueError(f"{thing} has no outline")


def pose(rng: np.random.Generator) -> Points:
    """Draw the (14, 2) joints of a figure in a random upright pose, about two units tall."""
    hip, shoulder, neck, head = 0.16, 0.24, -0.62, -1.05
    joints = np.zeros((14, 2))
    joints[2], joints[3] = (-hip, 0.1), (hip, 0.1)
    joints[8], joints[9] = (-shoulder, -0.52), (shoulder, -0.52)
    joints[12], joints[13] = (0.0, neck), (rng.uniform(-0.12, 0.12), head)
    for root, middle, end, side, length in (
        (2, 1, 0, -1, 0.46),
        (3, 4, 5, 1, 0.46),
        (8, 7, 6, -1, 0.36),
        (9, 10, 11, 1, 0.36),
    ):
        leg = length > 0.4
        first = rng.uniform(-0.2, 0.9) if leg else rng.uniform(-0.3, 2.6)
        bend = rng.uniform(-0.9, 0.1) if leg else rng.uniform(-1.5, 1.5)
        for start, stop, angle in ((root, middle, first), (middle, end, first + bend)):
            joints[stop] = joints[start] + length * np.array([side * np.sin(angle), np.cos(angle)])
    return joints
