"""Spaces, tasks and data formats of other packages are found by entry points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from predictor.entry_points import DATA, SPACES, TASKS, ExtensionWarning, NameTakenError
from tests.support.extension_package import install_extension, isolate_registry
from workers.data import base as data
from workers.errors import UnknownNameError
from workers.spaces import base as spaces
from workers.tasks import base as tasks

SPACE = """
from workers.spaces.base import register
from workers.spaces.mnasnet import MnasNet

@register
class Mine(MnasNet):
    name = "{name}"
"""
TASK = """
from workers.tasks.base import register
from workers.tasks.cls import Classification

@register
class Mine(Classification):
    name = "{name}"
"""
FORMAT = """
from workers.data.base import open_data, register_format

@register_format("{name}")
def _open(location, task):
    return open_data("shapes:" + location, task)
"""


@dataclass(frozen=True)
class Registry:
    group: str
    module: ModuleType
    variable: str
    source: str  # of a module that registers `name`
    builtin: str
    find: Callable[[str], Any]


REGISTRIES = [
    Registry(SPACES, spaces, "_REGISTRY", SPACE, "mnasnet", spaces.get_space),
    Registry(TASKS, tasks, "_REGISTRY", TASK, "cls", tasks.get_task),
    Registry(DATA, data, "_FORMATS", FORMAT, "shapes", lambda name: data.open_data(name, "cls")),
]


@pytest.fixture(params=REGISTRIES, ids=lambda registry: str(registry.group))
def registry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Registry:
    found: Registry = request.param
    isolate_registry(found.module, found.variable, monkeypatch)
    return found


def test_names_of_an_installed_package_are_found(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_extension(tmp_path, registry.group, registry.source.format(name="mine"), monkeypatch)
    assert registry.find("mine") is not None


def test_a_broken_package_is_skipped_with_a_warning(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_extension(tmp_path, registry.group, "import no_such_module", monkeypatch)
    with pytest.warns(ExtensionWarning, match=r"No module named .*: fix it, or .* pip uninstall my-extension"):
        assert registry.find(registry.builtin) is not None
    with pytest.raises(UnknownNameError):
        registry.find("mine")


def test_a_taken_name_is_an_error(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_extension(tmp_path, registry.group, registry.source.format(name=registry.builtin), monkeypatch)
    with pytest.raises(NameTakenError, match=rf"'{registry.builtin}' is registered twice, .* by my_extension: rename"):
        registry.find(registry.builtin)


def test_lists_of_names_include_those_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_registry(spaces, "_REGISTRY", monkeypatch)
    install_extension(tmp_path, SPACES, SPACE.format(name="mine"), monkeypatch)
    assert "mine" in spaces.space_names()
