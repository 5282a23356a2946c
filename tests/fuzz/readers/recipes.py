"""YAML files: recipes of each fidelity, configurations of campaigns, declared spaces."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from orchestrator.campaign.config import CampaignConfig, load_config
from tests.fuzz.mutation import as_yaml, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader
from tests.support.declared_space import PARAMETERS
from workers.messages.recipe_files import load_recipe, shipped_recipes
from workers.messages.shared_recipe import load_shared_recipe
from workers.spaces.declaration import read_declaration
from workers.spaces.declared import DeclaredSpace

# YAML has more than JSON: aliases, tags, times, keys of any kind.
_ODD = [
    "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{n}: &c{n} [*c{n - 1}, *c{n - 1}]\n" for n in range(1, 2)),
    "a: &a [x]\n" + "b: &b0 [*a, *a]\n" + "".join(f"k{n}: &b{n + 1} [*b{n}, *b{n}]\n" for n in range(40)),
    "task: &a [*a]\n",
    "steps: &a {x: *a}\n",
    "name: 2001-01-01\n",
    "name: !!timestamp x\n",
    "name: !!binary x\n",
    "name: !!int ''\n",
    "name: !!float ''\n",
    "name: !!bool x\n",
    "name: !!set {a, b}\n",
    "name: !!omap [a: 1]\n",
    "name: !!python/object/apply:os.system [x]\n",
    "steps: 0x" + "f" * 20000 + "\n",
    "steps: 0b" + "1" * 20000 + "\n",
    "steps: " + "9" * 5000 + "\n",
    "steps: " + "1:" * 3000 + "1\n",
    "? [a]\n: b\n",
    "1: 2\nnull: 3\ntrue: 4\n",
    "<<: 3\n",
    "<<: *x\n",
    "- a\n",
    "",
    "%YAML 9.9\n---\na: b\n",
    "a: b\n---\nc: d\n",
    "{" * 3000,
    "- " * 3000,
    "a: 'x\n",
    "\ta: b",
    "a: \x07\n",
]


def _yaml_inputs(document: Any) -> Callable[[], st.SearchStrategy[bytes]]:
    valid = as_yaml(document)

    def insert(pair: tuple[str, bool]) -> bytes:
        odd, whole = pair
        return odd.encode() if whole else valid + b"\n" + odd.encode()

    odd = st.tuples(st.sampled_from(_ODD), st.booleans()).map(insert)
    return lambda: st.one_of(documents(document, as_yaml), documents(document, as_yaml), files(valid), odd)


def _recipe(section: str, name: str, load: Callable[[str], object], extra: dict[str, Any]) -> Reader:
    document = yaml.safe_load(shipped_recipes(section)[name].read_text()) | extra

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "own.yaml", lambda path: load(str(path)))

    return Reader(name, as_yaml(document), _yaml_inputs(document), open_reader)


@reader
def recipe_full() -> Reader:
    extra = {"spaces": {"nasbench201": {"steps": 400, "body": {"width": 16}}}, "head": {"width": 32}}

    def load(path: str) -> str:
        recipe = load_recipe(path, "seg", "nasbench201")
        recipe.trainings(100)
        return recipe.hash

    return _recipe("", "seg.laptop", load, extra)


@reader
def recipe_of_mmdet() -> Reader:
    extra = {"from_config": {"file": "mmdet:retinanet/retinanet_r50_fpn_1x_coco.py", "without": ["x"]}}
    reader = _recipe("", "det.1x", lambda path: load_recipe(path, "det", "resnet50").hash, extra)
    return Reader(reader.name, reader.valid, reader.inputs, reader.open, share=0.05)


@reader
def recipe_shared() -> Reader:
    extra = {"supernet": "cls.laptop", "full": "laptop", "shared_head": {"steps": 200}, "spaces": {}}
    return _recipe("shared", "seg.laptop", lambda path: load_shared_recipe(path, "seg", "nasbench201").hash, extra)


@reader
def recipe_supernet() -> Reader:
    def load(path: str) -> str:
        return load_shared_recipe("laptop", "seg", "nasbench201", {"supernet": path}).hash

    return _recipe("supernet", "cls.laptop", load, {})


@reader
def campaign_configuration() -> Reader:
    document = {
        "task": "pano",
        "also": ["det", "seg"],
        "num": 4,
        "data": "shapes",
        "set": {"steps": 300, "head.width": 16},
        "choose": "both",
        "pool": 100,
        "seed": 1,
        "store": "labels",
        "latency": "cpu",
    }

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "campaign.yaml", lambda path: CampaignConfig.checked(**load_config(path)))

    return Reader("campaign", as_yaml(document), _yaml_inputs(document), open_reader)


@reader
def declared_space() -> Reader:
    document = {"name": "mynets", "build": "nets:build", "version": 2, "parameters": PARAMETERS}

    def read(path: Path) -> object:
        declaration = read_declaration(path)
        space, rng = DeclaredSpace(declaration), random.Random(0)
        drawn = space.sample(rng)
        space.check(drawn.values)
        return declaration.hash, space.size, space.mutate(drawn, rng), space.decode(space.encode(drawn))

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "space.yaml", read)

    return Reader("space", as_yaml(document), _yaml_inputs(document), open_reader)
