"""Declared spaces: networks of a user's function, their identity, and how they get to other processes."""

from __future__ import annotations

import itertools
import json
import pickle
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from predictor.entry_points import SPACES, NameTakenError
from tests.support.declared_space import BUILD, PARAMETERS, SIZE, isolate_declarations, write_space
from tests.support.extension_package import install_extension
from workers.errors import GenotypeError, SpaceError
from workers.messages.architecture import Architecture
from workers.spaces import Backbone, get_space, open_space
from workers.spaces.declaration import read_declaration
from workers.spaces.declared import DeclaredSpace
from workers.spaces.opening import receive_space, register_declaration, shipped_modules, space_message
from workers.training.full import Network, initialise

SMALLEST = {"depth": 1, "width": 8, "kernel": 3}
TWO_CHOICES = {"width": {"choices": [8, 16]}}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate_declarations(monkeypatch)
    monkeypatch.setenv("AIOP_CACHE", str(tmp_path / "cache"))


def returning(network: str, arguments: str = "width") -> str:
    """A module whose `build` returns the expression `network`; its helper `maps` makes one of any function."""
    return f"""
from torch import nn
import torch

class Maps(nn.Module):
    def __init__(self, width, function, **names):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 4, 1)
        self.function = function
        self.__dict__.update(names)

    def forward(self, images):
        return self.function(self.conv(images))

def build({arguments}):
    return {network}
"""


def test_the_sequence_and_the_strata_hold_every_genotype_once(tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path)))
    assert space.size == SIZE
    expected = {a.id for a in space.sequence(0)}
    assert len(expected) == SIZE
    for architectures in (space.sequence(1), space.stratified(0, (32, 32))):
        listed = [a.id for a in architectures]
        assert len(listed) == SIZE
        assert set(listed) == expected


def test_strata_of_several_blocks_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = open_space(str(write_space(tmp_path, parameters=PARAMETERS | {"width": {"range": [1, 12]}})))
    assert space.size == 72  # more than one block of 64
    monkeypatch.setattr("workers.spaces.kept_flops.KeptFlops.of", lambda _, block, parallel: [0.0] * len(block))
    assert len({a.id for a in space.stratified(0, (32, 32))}) == 72


def test_a_genotype_maps_the_active_parameters(tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path)))
    genotypes = [a.values for a in space.sequence(0)]
    assert all(("expand" in genotype) == (genotype["depth"] == 2) for genotype in genotypes)
    rng = random.Random(0)
    depths = Counter(space.sample(rng).values["depth"] for _ in range(3000))
    assert 1.8 < depths[2] / depths[1] < 2.2  # all genotypes are equally likely, and twice as many have depth 2
    assert space.encode(space.architecture(SMALLEST)) == [0, 0, 0, -1]


@pytest.mark.parametrize(
    "genotype",
    [{}, SMALLEST | {"expand": 2}, SMALLEST | {"width": 12}, SMALLEST | {"other": 1}, SMALLEST | {"depth": 2}],
)
def test_other_genotypes_are_refused(genotype: dict[str, Any], tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path)))
    with pytest.raises(GenotypeError, match=r"mynets genotype .*: '"):
        space.build(space.architecture(genotype))


def test_networks_have_a_measured_pyramid_and_a_cost(tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path)))
    for architecture in space.sequence(0):
        backbone = space.build(architecture)
        width = architecture.values["width"]
        assert backbone.channels == (width, 2 * width, 4 * width, 8 * width)
        assert backbone.strides == (4, 8, 16, 32)
        assert backbone.training
        assert space.cost(architecture, (64, 64)).params == sum(p.numel() for p in backbone.parameters())


def test_builds_do_not_depend_on_the_state_of_the_process(tmp_path: Path) -> None:
    source = returning("Maps(width, lambda x: [x], scale=nn.Parameter(torch.randn(3)))")
    space = open_space(str(write_space(tmp_path, source, TWO_CHOICES)))
    architecture = space.architecture({"width": 8})
    torch.manual_seed(1)
    first = space.build(architecture)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)  # and they leave it unchanged
    torch.manual_seed(2)
    assert torch.equal(first.network.conv.weight, space.build(architecture).network.conv.weight)


@pytest.mark.parametrize(
    "network",
    [
        "Maps(int(torch.tensor(float(width)).item()), lambda x: [x])",  # reads a value while it is built
        "Maps(width, lambda x: (x,))",
        "Maps(width, lambda x: [x[:, :, : int(x.sum() * 0) or None]])",  # reads a value while it runs
    ],
)
def test_functions_that_need_values_can_be_built(network: str, tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path, returning(network), TWO_CHOICES)))
    backbone = space.build(space.architecture({"width": 8}))
    assert (backbone.channels, backbone.strides) == ((8,), (4,))


def test_flops_that_cannot_be_counted_are_one_line(tmp_path: Path) -> None:
    source = returning("Maps(width, lambda x: [x if x.sum() == 0 else x])")
    space = open_space(str(write_space(tmp_path, source, TWO_CHOICES)))
    with pytest.raises(
        SpaceError, match=r"cannot run on the meta device .*: let it use shapes, not values of tensors$"
    ):
        space.cost(space.architecture({"width": 8}), (32, 32))


def test_pretrained_modules_keep_their_weights(tmp_path: Path) -> None:
    source = returning("Maps(width, lambda x: [x], keeps_weights=True)")
    space = open_space(str(write_space(tmp_path, source, TWO_CHOICES)))
    network = Network(space.build(space.architecture({"width": 8})), torch.nn.Conv2d(8, 3, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialise(network, 0)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


FUNCTION_MISTAKES = [
    ("import no_such_library\n", "cannot be imported (ModuleNotFoundError: No module named 'no_such_library'): fix"),
    ("def build(:\n", "cannot be imported (SyntaxError"),
    ("raise ValueError('broken')\n", "cannot be imported (ValueError: broken): fix the module"),
    ("x = 1\n", "has no function 'build': define it there, or correct build"),
    ("build = 3\n", "has no function 'build'"),
    (returning("None", "depth"), "has no argument 'width': add it, or remove the parameter (it has depth)"),
    (returning("None", "width, depth"), "needs 'depth', which is no parameter: declare it, or give it a default"),
    (returning("None", "width, /"), "has no argument 'width'"),
    (returning("1 / 0"), "build(width=8) fails (ZeroDivisionError: division by zero): fix it, or remove these choices"),
    (returning("[1]"), "returns list: return a torch.nn.Module"),
    (returning("Maps(width, lambda x: x)"), "returns a tensor of shape (1, 8, 16, 24): return a list of feature maps"),
    (returning("Maps(width, lambda x: {'a': x})"), "returns dict: return a list of feature maps"),
    (returning("Maps(width, lambda x: [])"), "returns an empty list: return a list"),
    (returning("Maps(width, lambda x: [x.flatten(1)])"), "returns a list with a tensor of shape (1, 3072)"),
    (returning("Maps(width, lambda x: x.no_such())"), "fails on an image of 64x96 (AttributeError"),
    (returning("Maps(width, lambda x: [x[..., 1:]])"), "each map must have that size divided by 1, 2, 4, 8, 16 or 32"),
    (returning("Maps(width, lambda x: [x[:, :, ::3, ::3]])"), "each map must have that size divided by"),
    (returning("Maps(width, lambda x: [x, x])"), "strides [4, 4]: return one level per stride, finest first"),
    (returning("Maps(width, lambda x: [x[:, :, ::2, ::2], x])"), "strides [8, 4]: return one level per stride"),
    (returning("Maps(width, lambda x: [x], strides=[8])"), "names strides [8], but its maps have [4]: correct them"),
    (returning("Maps(width, lambda x: [x], channels=(9,))"), "names channels [9], but its maps have [8]"),
]


def build_one(path: str) -> Backbone:
    space = open_space(path)
    return space.build(space.architecture({"width": 8}))


@pytest.mark.parametrize(("source", "says"), FUNCTION_MISTAKES)
def test_a_mistake_in_the_function_is_one_line(source: str, says: str, tmp_path: Path) -> None:
    path = str(write_space(tmp_path, source, TWO_CHOICES))
    with pytest.raises(SpaceError) as caught:
        build_one(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith("space mynets: ")
    assert "\n" not in str(caught.value)


def test_a_conditional_parameter_needs_a_default(tmp_path: Path) -> None:
    source = BUILD.replace("expand=1", "expand")
    with pytest.raises(SpaceError, match="some networks have no 'expand', as it has a condition: give it a default"):
        open_space(str(write_space(tmp_path, source)))


def test_a_missing_module_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=rf"No module named 'nowhere'\): put it into {tmp_path}, or install it"):
        open_space(str(write_space(tmp_path, build="nowhere.nets:build")))


@pytest.mark.parametrize("name", ["resnet50", "nasbench201", "timm", "onnx"])
def test_a_taken_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=f"name '{name}' is taken: choose another name"):
        open_space(str(write_space(tmp_path, name=name)))


def test_another_declaration_of_the_name_is_another_space(tmp_path: Path) -> None:
    path = write_space(tmp_path)
    first = open_space(str(path))
    old = first.architecture(SMALLEST)
    assert open_space(str(path)) is first
    document = yaml.safe_load(path.read_text())
    document["parameters"]["width"]["range"] = [8, 24]
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    second = open_space(str(path))
    assert get_space("mynets") is second
    new = second.architecture(SMALLEST)
    assert (old.space, old.genotype) == (new.space, new.genotype)
    assert old.id != new.id
    with pytest.raises(GenotypeError, match="of another declaration of space mynets"):
        second.build(old)
    with pytest.raises(GenotypeError, match="of another declaration"):
        second.build(Architecture.of("mynets", SMALLEST))


def test_a_space_can_be_sent_to_another_process(tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path)))
    copied = pickle.loads(pickle.dumps(space))  # noqa: S301 - as joblib does
    assert list(copied.sequence(0)) == list(space.sequence(0))


def forget(message: str) -> str:
    """Remove the module of a message from this process, as if it were another one; return its name."""
    module = str(json.loads(message)["declaration"]["build"]).partition(":")[0]
    del sys.modules[module]
    return module


def test_a_message_declares_the_space_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert space_message("resnet50") == ""
    receive_space("")
    path = write_space(tmp_path)
    architecture = next(open_space(str(path)).sequence(0))
    message = space_message("mynets")
    (shipped,) = shipped_modules("mynets")
    assert shipped == tmp_path / f"{forget(message)}.py"
    isolate_declarations(monkeypatch)
    monkeypatch.delitem(get_registry(), "mynets")
    receive_space(message)
    assert get_space("mynets").build(architecture).strides == (4, 8, 16, 32)


def test_another_machine_has_the_module_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    open_space(str(write_space(here)))
    message = space_message("mynets")
    monkeypatch.delitem(get_registry(), "mynets")
    here.rename(there)
    module = forget(message)
    monkeypatch.setattr(sys, "path", [*sys.path, str(there)])  # as Ray does with a copy
    receive_space(message)
    forget(message)
    (there / f"{module}.py").write_text(BUILD + "\n# changed\n")
    monkeypatch.delitem(get_registry(), "mynets")
    with pytest.raises(SpaceError, match=rf"the code of {module} is not the driver's .*: bring it to the same state"):
        receive_space(message)


def get_registry() -> dict[str, Any]:
    from workers.spaces import base

    return base._REGISTRY


def test_flops_of_changed_code_are_counted_again(tmp_path: Path) -> None:
    path = write_space(tmp_path)
    space = open_space(str(path))
    before = space.cache_name
    module = Path(str(sys.modules[read_declaration(path).module].__file__))
    module.write_text(module.read_text().replace("mid = c_out * expand", "mid = 2 * c_out * expand"))
    assert space.cache_name != before


def test_an_installed_package_may_contain_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_space(tmp_path)
    source = f"""
        from pathlib import Path
        from workers.spaces.opening import register_declaration
        register_declaration(Path({str(path)!r}))
    """
    install_extension(tmp_path, SPACES, "\n".join(line.strip() for line in source.splitlines()), monkeypatch)
    space = get_space("mynets")
    assert isinstance(space, DeclaredSpace)
    assert space.build(next(space.sequence(0))).strides == (4, 8, 16, 32)
    assert shipped_modules("mynets") == []
    receive_space(space_message("mynets"))
    assert get_space("mynets") is space
    with pytest.raises(SpaceError, match="name 'mynets' is taken"):
        open_space(str(write_space(tmp_path, parameters=TWO_CHOICES)))
    with pytest.raises(NameTakenError):
        register_declaration(path)


def test_mutations_stay_in_the_space(tmp_path: Path) -> None:
    space, rng = open_space(str(write_space(tmp_path))), random.Random(0)
    architecture, seen = space.sample(rng), set[str]()
    for _ in range(300):
        architecture = space.mutate(architecture, rng)
        seen.add(architecture.id)
        assert space.decode(space.encode(architecture)) == architecture
    assert len(seen) == SIZE


def test_prefixes_of_the_strata_are_stable(tmp_path: Path) -> None:
    space = open_space(str(write_space(tmp_path)))
    short, long = (list(itertools.islice(space.stratified(3, (32, 32)), n)) for n in (4, 12))
    assert short == long[:4]
