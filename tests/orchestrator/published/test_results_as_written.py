"""What people write into files of results: spellings of numbers, names and columns, and repeated results."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from orchestrator.csv_file import CsvError, read_csv
from orchestrator.errors import ConfigError
from orchestrator.predictors.label_sets import read_label_sets
from orchestrator.published.importing import ImportSummary, TraceInput, TraceResult, import_results, trace_chunk
from orchestrator.published.named_networks import NamedNetwork
from orchestrator.published.result import Result
from orchestrator.published.results_file import REQUIRED, read_results_file
from orchestrator.published.spelling import check_names
from orchestrator.published.units import check_units, is_fraction
from orchestrator.store import MemoryLabelStore
from predictor.plain_numbers import plain_float, plain_int
from workers.messages.label import label_key

CELL = "nasbench201:|{}~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|avg_pool_3x3~2|"
FIRST, SECOND = CELL.format("nor_conv_3x3"), CELL.format("nor_conv_1x1")
HEADER = "model,task,dataset,metric,value,input_size,recipe,seed"


def imported(lines: list[str], folder: Path, store: MemoryLabelStore) -> ImportSummary:
    path = folder / "results.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    file = read_results_file(path)
    summary = import_results(file.results, store, lambda chunks: map(trace_chunk, chunks))
    summary.rejected += file.rejected
    return summary


def line(value: str, metric: str = "top1", model: str = FIRST, recipe: str = "r", seed: str = "") -> str:
    return f"{model},cls,cifar10,{metric},{value},32,{recipe},{seed}"


def stored(store: MemoryLabelStore) -> list[tuple[str, int, float]]:
    return sorted((row["metric"], row["seed"], row["value"]) for row in store.labels().to_pylist())


def plain_keys(store: MemoryLabelStore) -> dict[str, bool]:
    """Return, by metric, whether its labels have the key without a metric."""
    rows = store.labels().to_pylist()
    parts = ("architecture", "task", "fingerprint", "fidelity", "recipe_hash", "seed")
    return {row["metric"]: row["key"] == label_key(*(row[part] for part in parts)) for row in rows}


def test_one_metric_keeps_the_key_of_earlier_versions_and_others_get_their_own(tmp_path: Path) -> None:
    store = MemoryLabelStore()
    imported([line("0.9", "top5"), line("0.7", "top1")], tmp_path, store)
    assert stored(store) == [("top1", 0, 0.7), ("top5", 0, 0.9)]
    assert plain_keys(store) == {"top1": True, "top5": False}  # whatever their order in the file
    imported([line("0.8", "top3")], tmp_path, store)
    assert plain_keys(store)["top3"] is False
    assert imported([line("0.9", "top5"), line("0.7"), line("0.8", "top3")], tmp_path, store).known == 3


def test_sets_of_several_metrics_do_not_share_a_name_or_a_data_set(tmp_path: Path) -> None:
    store = MemoryLabelStore()
    imported([line("0.7"), line("0.6", model=SECOND)], tmp_path, store)
    imported([line("0.95", "top5"), line("0.94", "top5", model=SECOND)], tmp_path, store)
    sets, _ = read_label_sets(store)
    assert [(s.name, s.data, sorted(s.values.tolist())) for s in sets] == [
        ("nasbench201/cls/cifar10", "cifar10", [0.6, 0.7]),
        ("nasbench201/cls/cifar10@top5", "cifar10@top5", [0.94, 0.95]),
    ]


def test_a_store_in_which_metrics_were_taken_for_seeds_is_read_apart(tmp_path: Path) -> None:
    """Version 0.1 stored a second metric as seed 1 of the first."""
    store = MemoryLabelStore()
    imported([line("0.7", seed="0")], tmp_path, store)
    imported([line("0.9", seed="1")], tmp_path, store)
    for row in store._labels.values():  # as that version wrote it
        row["metric"] = "top5" if row["seed"] else "top1"
    sets, _ = read_label_sets(store)
    assert [(s.name, s.values.tolist()) for s in sets] == [
        ("nasbench201/cls/cifar10", [0.7]),
        ("nasbench201/cls/cifar10@top5", [0.9]),
    ]
    again = imported([line("0.7"), line("0.9", "top5")], tmp_path, store)
    assert (again.known, again.added, again.differing) == (2, 0, [])


def test_trainings_in_another_order_are_the_same_trainings(tmp_path: Path) -> None:
    store = MemoryLabelStore()
    imported([line("0.7"), line("0.71")], tmp_path, store)
    again = imported([line("0.71"), line("0.7"), line("0.72")], tmp_path, store)
    assert (again.known, again.added, again.differing) == (2, 1, [])
    assert stored(store) == [("top1", 0, 0.7), ("top1", 1, 0.71), ("top1", 2, 0.72)]


def test_numbers_of_trainings_make_equal_results_two_labels(tmp_path: Path) -> None:
    store = MemoryLabelStore()
    summary = imported([line("0.7", seed="3"), line("0.7", seed="4"), line("0.7", seed="4")], tmp_path, store)
    assert (summary.added, [one.line for one in summary.repeated]) == (2, [4])
    assert stored(store) == [("top1", 3, 0.7), ("top1", 4, 0.7)]
    changed = imported([line("0.8", seed="4"), line("0.9", seed="5"), line("0.91", seed="5")], tmp_path, store)
    assert changed.added == 1
    assert ["value 0.8 differs from the stored 0.7" in one.reason for one in changed.differing] == [True, False]
    assert "seed 5 is in another line with another value" in changed.differing[1].reason


def test_spaces_around_a_recipe_do_not_make_it_another(tmp_path: Path) -> None:
    store = MemoryLabelStore()
    imported([line("0.7", recipe=" r")], tmp_path, store)
    assert imported([line("0.7", recipe="r ")], tmp_path, store).known == 1


@pytest.mark.parametrize(
    "text",
    [
        "76.3%",
        "6_63",
        "0,663",
        "²",
        "\u0660.\u0665",
        "1e999",
        "0x10",
        "1.2.3",
        "--1",
        "1 000",
        "",
        "Infinity",
        "1e",
        "½",
    ],
)
def test_only_plain_finite_numbers_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not (a number|finite)"):
        plain_float(text)


@pytest.mark.parametrize("text", ["1_0", "²", "\u0661", "1.0", "", "9" * 19, "9" * 5000, "+-1", "\uff11"])
def test_only_plain_integers_of_64_bits_are_integers(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        plain_int(text)


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("-1e-3", -0.001), ("+2", 2.0)])
def test_plain_numbers_are_read(text: str, value: float) -> None:
    assert plain_float(text) == value


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line("0.7", seed="1_0"), "seed 1_0 is not a whole number"),
        (line("0.7").replace(",32,", ",9999999999999999999,"), "input_size 9999999999999999999 is not"),
        (line("0.7").replace(",32,", ",40000x32,"), "is larger than 32,768 pixels a side"),
        (line("0.7").replace(",32,", ",²,"), "input_size ² is not SIDE or HEIGHTxWIDTH"),
        (line("0.7") + ",extra", "8 columns are named, but this line has 9"),
        ('"' + line("0.7"), "check its quotes"),
        (line("0.7").replace(FIRST, "nasbench201:" + "[" * 5000), "nasbench201"),
        (line("0.7").replace(FIRST, "mnasnet:[1e999999]"), "mnasnet"),
    ],
)
def test_one_bad_line_does_not_cost_the_others(bad: str, reason: str, tmp_path: Path) -> None:
    store = MemoryLabelStore()
    summary = imported([line("0.6", model=SECOND), bad, line("0.5")], tmp_path, store)
    assert [one.line for one in summary.rejected] == [3]
    assert reason in summary.rejected[0].reason
    assert [value for _, _, value in stored(store)] == [0.5, 0.6]


def test_a_network_whose_code_fails_unexpectedly_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str) -> NamedNetwork:
        raise OverflowError("int too big to convert")

    monkeypatch.setattr("orchestrator.published.importing.open_network", opened)
    assert trace_chunk([TraceInput("net", (8, 8))]) == [
        TraceResult(TraceInput("net", (8, 8)), "", "model 'net': OverflowError: int too big to convert")
    ]


def values(*numbers: float, metric: str = "top1") -> list[Result]:
    return [Result(n, "m", "cls", "d", metric, value, (8, 8), "r") for n, value in enumerate(numbers, 2)]


def test_percentages_are_found_by_metric() -> None:
    assert [r.value for r in check_units(values(66.3, 72.31, 100.0)).results] == [0.663, 0.7231, 1.0]
    mixed = check_units(values(66.3, 72.31, 0.9))
    assert ([r.value for r in mixed.results], [r.value for r, _ in mixed.rejected]) == ([0.663, 0.7231], [0.9])
    assert [r.value for r, _ in check_units(values(0.5, -0.1, 101.0)).rejected] == [-0.1, 101.0]
    assert [r.value for r in check_units(values(31.5, 3100.0, -2.0, metric="latency_ms")).results] == [31.5, 3100, -2]
    fractions = ["top1", "Acc@1", "bbox_mAP_50", "mIoU", "PCK@0.2", "box AP", "F1-score", "pixel_acc", "AR", "PQ"]
    assert [name for name in fractions if not is_fraction(name)] == []
    others = ["neg_l2", "latency_ms", "mpjpe", "top1_rank", "acc_loss", "ssim", "psnr", "energy", "params"]
    assert [name for name in others if is_fraction(name)] == []


def test_names_that_differ_in_spelling_are_reported() -> None:
    one = values(0.5)[0]
    results = [
        Result(n, "m", task, data, "top1", 0.5, (8, 8), "r")
        for n, (task, data) in enumerate([("cls", "COCO 2017"), ("Cls ", "coco-2017"), ("segm", "coco-2017")], 2)
    ]
    checked = check_names([one, *results], MemoryLabelStore(), ["cls", "seg"])
    assert [line.reason for line in checked.rejected] == ["task Cls : is spelled cls"]
    assert "task segm is new; the nearest known one is seg" in checked.notes[0]
    assert "dataset COCO 2017 and coco-2017 differ only in spelling" in checked.notes[1]
    assert len(checked.notes) == 2


@pytest.mark.parametrize(
    "content",
    [
        f"sep=;\r\n{HEADER.replace(',', ';')}\r\n{line('0.5').replace(',', ';')}\r\n".encode(),
        ("\ufeff" + HEADER.replace(",", "|") + "\r" + line("0.5").replace("|", "\\").replace(",", "|")).encode(),
        f"{HEADER.upper()}\n\n ,,,,\n{line('0.5')}\n\n".encode("utf-16"),
        gzip.compress(f"{HEADER.replace('input_size', 'Input-Size')}\n{line('0.5')}".encode("utf-8-sig"), mtime=0),
        f'"model"\t"task"\t"dataset"\t"metric"\t"value"\n"{FIRST}"\t"cls"\t"d"\t"top1"\t"0.5"'.encode("utf-32"),
    ],
)
def test_delimiters_encodings_and_headers(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_bytes(content)
    file = read_results_file(tmp_path / "results.csv")
    assert ([result.value for result in file.results], file.rejected) == ([0.5], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model,task\na,b", "has no column dataset, metric, value: needs .*; the first line has: model, task"),
        (f"{HEADER},Value\n{line('1')},2".encode(), "has the column value twice"),
        ("model,task,dataset,metric,value\n\xe9,a,b,c,1".encode("latin-1"), "byte 33 is not UTF-8: save it as UTF-8"),
        ("model,task,dataset,metric,value\na,a,b,c,1".encode("utf-16-le"), "save it as UTF-8"),
        (gzip.compress(HEADER.encode(), mtime=0)[:-6], "cannot be read"),
    ],
)
def test_files_that_are_not_read_say_why(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(CsvError, match=message):
        read_csv(tmp_path / "results.csv", REQUIRED)
    with pytest.raises(ConfigError, match=r"results\.csv: ") as caught:
        read_results_file(tmp_path / "results.csv")
    assert "\n" not in str(caught.value)
