"""Texts on the command line: limits, budgets, sizes, overrides, names of networks, genotypes, options of latency."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import strategies as st

from orchestrator.campaign.search_config import SearchConfig
from orchestrator.cli.evaluate import _counts
from orchestrator.cli.options import parse_input_size, recipe_overrides
from orchestrator.published.named_networks import open_network
from orchestrator.search.holding import Held
from orchestrator.search.limits import COST_NAMES, parse_budget, parse_limit
from predictor.errors import AIOPError
from predictor.plain_numbers import plain_float, plain_int
from tests.fuzz.mutation import texts
from tests.fuzz.readers.reader import Read, Reader, reader
from workers.latency.settings import LatencySettings
from workers.messages.recipe_files import load_recipe
from workers.messages.shared_recipe import load_shared_recipe
from workers.spaces import get_space, space_names
from workers.spaces.names import architecture_named


def _each(*reads: Read) -> Read:
    """Return what calls several readers; what one refuses, the others must accept or refuse too."""

    def read(text: str) -> None:
        refused = list[AIOPError]()
        for one in reads:
            try:
                one(text)
            except AIOPError as error:
                refused.append(error)
        if refused:
            raise refused[0]

    return read


def _text_reader(name: str, examples: list[str], *reads: Read, share: float = 1.0) -> Reader:
    return Reader(name, examples[0], lambda: texts(examples), lambda folder: _each(*reads), share)


@reader
def search_limits() -> Reader:
    def read(text: str) -> None:
        refused = None
        for cost in COST_NAMES:
            try:
                limit = parse_limit(cost, text)
                limit.absolute(1e9), str(limit)
            except AIOPError as error:
                refused = error
        if refused:
            raise refused

    return Reader("limits", "60%", lambda: texts(["60%", "1.2G", "8ms", "5M params", ".5 T"]), lambda folder: read)


@reader
def search_budget() -> Reader:
    return _text_reader("budget", ["200 labels", "2h", "45m", "1.5 d"], parse_budget)


@reader
def input_size() -> Reader:
    return _text_reader("size", ["224", "800x1333", "1x28x28"], parse_input_size)


@reader
def plain_numbers() -> Reader:
    def read(text: str) -> None:
        for parse in (plain_float, plain_int):
            try:
                parse(text)
            except ValueError as error:
                str(error)

    return _text_reader("numbers", ["12", "-1.5e3", "+.5"], read)


@reader
def set_option() -> Reader:
    examples = ["steps=300", "head.width=16", "input_size=[64, 96]", "body.width=8", "ema=0", "milestones=[0.5]"]
    shared = ["supernet.steps=20", "shared_head.steps=3", "supernet=cls.laptop", "full=laptop"]

    def full(text: str) -> str:
        return load_recipe("laptop", "seg", "nasbench201", recipe_overrides([text])).hash

    def cheap(text: str) -> str:
        return load_shared_recipe("laptop", "seg", "nasbench201", recipe_overrides([text, "batch=8"])).hash

    return _text_reader("set", [*examples, *shared], full, cheap, share=0.3)


@reader
def hold_option() -> Reader:
    space = get_space("mobilenetv3")

    def read(text: str) -> None:
        config = SearchConfig.checked(task="cls", hold=recipe_overrides([text]))
        Held(space, config.held).drawn(0)

    return _text_reader("hold", ["depth.0=2", "kernel.3=5", "depth.1=4"], read)


@reader
def network_names() -> Reader:
    examples = ["timm:resnet18", "mmdet:retinanet/x.py", "a.b:c", "nets:build({})", "nets:build([1, 2])", "file.onnx"]
    examples += [f"{name}:{next(iter(get_space(name).sequence(0))).genotype}" for name in _SPACES]
    examples += ["nasbench201:|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|", "space.yaml:{}"]

    def open_reader(folder: Path) -> Read:
        def read(text: str) -> None:
            before = os.getcwd()
            os.chdir(folder)
            try:
                open_network(text)
            finally:
                os.chdir(before)

        return read

    return Reader("names", examples[0], lambda: texts(examples), open_reader)


_SPACES = ("nasbench201", "mnasnet", "transnas-macro", "mobilenetv3", "proxylessnas", "resnet50")


@reader
def genotypes() -> Reader:
    examples = [f"{name}:{next(iter(get_space(name).sequence(1))).genotype}" for name in space_names()]
    examples += ["timm:resnet50", "nasbench201:|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"]

    def read(text: str) -> None:
        architecture = architecture_named(text)
        get_space(architecture.space).encode(architecture)

    return _text_reader("genotypes", examples, read)


@reader
def genotype_documents() -> Reader:
    import json

    from tests.fuzz.mutation import as_json, documents

    valid = {name: next(iter(get_space(name).sequence(2))).values for name in _SPACES}

    def read(content: bytes) -> None:
        try:
            genotypes = json.loads(content)
        except (ValueError, RecursionError):
            return
        refused = None
        for name, genotype in genotypes.items() if isinstance(genotypes, dict) else ():
            if name in valid:
                try:
                    get_space(name).parse_json(json.dumps(genotype))
                except AIOPError as error:
                    refused = error
        if refused:
            raise refused

    def inputs() -> st.SearchStrategy[bytes]:
        return documents(valid, as_json)

    return Reader("genotypes", as_json(valid), inputs, lambda folder: read)


@reader
def numbers_of_labels() -> Reader:
    return _text_reader("labels", ["0,20,100", "others", "0, others"], _counts)


@reader
def latency_options() -> Reader:
    fields = ("device", "precision", "mode")
    valid = {"device": "cpu", "precision": "fp32", "mode": "eager"}

    def read(text: str) -> None:
        values = text.split("/")
        LatencySettings(**(valid | dict(zip(fields, values, strict=False))))  # type: ignore[arg-type]

    return _text_reader("latency", ["cpu/fp32/eager", "cuda:1/bf16/compiled", "cpu/fp32/onnxruntime"], read)
