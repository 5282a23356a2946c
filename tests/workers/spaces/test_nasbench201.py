"""Cells that compute the same have the same text, and costs are those that are counted."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from predictor.cost import measure_cost
from workers.spaces import get_space
from workers.spaces.nasbench201 import OPS, Cell

SPACE = get_space("nasbench201")
NONE, SKIP, ONE, THREE, POOL = OPS


def function(*ops: str) -> str:
    return SPACE.function(SPACE.architecture({"ops": list(ops)}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # An edge into a node that leads nowhere.
        ((NONE, SKIP, NONE, THREE, ONE, NONE), (NONE, NONE, NONE, THREE, ONE, NONE)),
        # The same sum over another node.
        ((POOL, SKIP, NONE, THREE, SKIP, NONE), (NONE, SKIP, NONE, THREE, SKIP, POOL)),
        # A pooling of zeros is zero.
        ((NONE, NONE, POOL, THREE, POOL, SKIP), (NONE, NONE, NONE, THREE, NONE, NONE)),
    ],
)
def test_equal_sums_are_one_function(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert function(*first) == function(*second)


@pytest.mark.parametrize("settings", [None, SPACE.published_backbone, {"reduction": "pool", "cells": 2}])
def test_the_cost_is_the_one_that_is_counted(settings: dict[str, object] | None) -> None:
    for architecture in itertools.islice(SPACE.sequence(3), 4):
        counted = measure_cost(SPACE.skeleton(architecture, settings), (3, 64, 96))
        assert SPACE.cost(architecture, (64, 96), settings) == counted


def test_shared_weights_are_another_function() -> None:
    # The same convolution twice, and two convolutions.
    assert function(THREE, SKIP, SKIP, NONE, SKIP, SKIP) != function(THREE, NONE, SKIP, THREE, NONE, SKIP)


def test_cells_with_equal_texts_have_equal_values() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    plain = list(itertools.product((NONE, SKIP, POOL), repeat=6))
    values: dict[str, torch.Tensor] = {}
    for ops in random.Random(0).sample(plain, 300):
        text, value = function(*ops), Cell(ops, 1).double()(image)
        torch.testing.assert_close(values.setdefault(text, value), value, rtol=0, atol=1e-12)
    assert 10 < len(values) < 150  # many cells share a text
