"""A declared search space in a temporary folder: a YAML file, and a module with the function that it names."""

from __future__ import annotations

import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.extension_package import isolate_registry
from workers.spaces import base

BUILD = """
from torch import nn


def _conv(c_in, c_out, kernel, stride=1, groups=1):
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU())


class Pyramid(nn.Module):
    def __init__(self, stem, stages):
        super().__init__()
        self.stem, self.stages = stem, nn.ModuleList(stages)

    def forward(self, images):
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def build(depth, width, kernel, expand=1):
    stages, c_in = [], width
    for level in range(4):
        blocks, c_out = [], width * 2**level
        for i in range(depth):
            mid = c_out * expand
            spatial = _conv(mid, mid, kernel, stride=1 if i else 2, groups=mid)
            blocks += [_conv(c_in, mid, 1), spatial, _conv(mid, c_out, 1)]
            c_in = c_out
        stages.append(nn.Sequential(*blocks))
    return Pyramid(_conv(3, width, 3, stride=2), stages)
"""
PARAMETERS: dict[str, Any] = {
    "depth": {"choices": [1, 2]},
    "width": {"range": [8, 16], "step": 8},
    "kernel": {"choices": [3, 5]},
    "expand": {"choices": [2, 4], "if": {"depth": 2}},
}
SIZE = 12  # (1 + 2) * 2 * 2


def write_space(folder: Path, source: str = BUILD, parameters: dict[str, Any] = PARAMETERS, **fields: Any) -> Path:
    """Write a module with a unique name and FOLDER/NAME.yaml; return the path of the YAML file."""
    module = f"nets_{uuid.uuid4().hex[:12]}"
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    document = {"name": "mynets", "build": f"{module}:build", "parameters": parameters} | fields
    path = folder / f"{document['name']}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def isolate_declarations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo declarations and changes of sys.path at the end of a test."""
    isolate_registry(base, "_REGISTRY", monkeypatch)
    monkeypatch.setattr(sys, "path", list(sys.path))
