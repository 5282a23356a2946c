"""Networks of modules in the current folder, as `orchestrator graph mymodule:build` finds them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from orchestrator.errors import ConfigError
from orchestrator.published.named_networks import open_network

MODULE = """
from torch import nn
from here_sibling import WIDTH

def build(width=WIDTH):
    return nn.Conv2d(3, width, 1)

network = build(5)
number = 3

def gives_a_class():
    return nn.ReLU

def fails():
    raise KeyError("a\\nb")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "here_module.py").write_text(MODULE)
    (tmp_path / "here_sibling.py").write_text("WIDTH = 4\n")
    (tmp_path / "here_broken.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('hides the standard library')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("here_module", "here_sibling", "here_broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("name", "width"), [("build", 4), ("build()", 4), ("build([7])", 7), ("network", 5)])
def test_functions_and_networks_of_a_module_here(name: str, width: int, folder: Path) -> None:
    network = open_network(f"here_module:{name}").build()
    assert isinstance(network, nn.Conv2d)
    assert network.out_channels == width
    assert open_network("here_module:build").architecture == open_network("here_module:build()").architecture


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("here_module:biuld", "has no biuld .*: did you mean build"),
        ("here_module:zzz", "has no zzz .*: name one of its functions or networks"),
        ("here_module:gives_a_class", "returns the class ReLU: it must return an instance"),
        ("here_module:fails", "its code raises KeyError: 'a.*b'"),
        ("here_broken:build", "its code raises ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("here_modul:build()", "there is no module here_modul here .* run from the folder that holds it"),
        ("here_modul:build", "write timm:"),
    ],
)
def test_what_is_wrong_is_one_line(name: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_network(name).build()
    assert "\n" not in str(caught.value)
