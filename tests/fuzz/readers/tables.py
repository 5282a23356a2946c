"""Tables that users write: published results and architectures."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from orchestrator.campaign.architectures_file import read_architectures
from orchestrator.published.results_file import read_results_file
from tests.fuzz.mutation import as_json, documents, files
from tests.fuzz.readers.reader import Read, Reader, file_reader, reader

_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|"
_RESULTS = [
    ["model", "task", "dataset", "metric", "value", "arguments", "input_size", "recipe", "seed"],
    ["timm:resnet18", "cls", "imagenet", "top1", "0.69", "", "224", "a1", "0"],
    ["nets:build", "seg", "ade20k", "miou", "41.2", '{"depth": 3}', "512x512", "", ""],
    [f"nasbench201:{_CELL}", "cls", "cifar10", "top1", "91", "", "32", "200 epochs", "777"],
]


def as_csv(rows: Sequence[Sequence[object]]) -> bytes:
    """Return rows as CSV, also of what are no rows."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(row if isinstance(row, list) else [row] for row in rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


@reader
def results_csv() -> Reader:
    def inputs() -> st.SearchStrategy[bytes]:
        spoilt = documents(_RESULTS, as_csv)
        zipped = gzip.compress(as_csv(_RESULTS), mtime=0)
        return st.one_of(spoilt, spoilt, files(as_csv(_RESULTS)), files(zipped), spoilt.map(gzip.compress))

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "results.csv", read_results_file)

    return Reader("results", as_csv(_RESULTS), inputs, open_reader)


@reader
def architectures_csv() -> Reader:
    rows = [["model", "note"], ["timm:resnet18", "a"], [f"nasbench201:{_CELL}", "b"]]

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "networks.csv", read_architectures)

    return Reader("csv", as_csv(rows), lambda: st.one_of(documents(rows, as_csv), files(as_csv(rows))), open_reader)


@reader
def architectures_json() -> Reader:
    from workers.spaces import get_space

    space = get_space("mobilenetv3")
    genotype = next(iter(space.sequence(0))).values
    document = ["timm:resnet18", {"space": "mobilenetv3", "genotype": genotype}, {"model": f"nasbench201:{_CELL}"}]

    def open_reader(folder: Path) -> Read:
        return file_reader(folder, "networks.json", read_architectures)

    return Reader(
        "json",
        as_json(document),
        lambda: st.one_of(documents(document, as_json), documents(document, as_json), files(as_json(document))),
        open_reader,
    )
