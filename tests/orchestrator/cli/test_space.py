"""`orchestrator space check`, and the errors of campaigns on a user's own space."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import ray

from tests.support.declared_space import BUILD, SIZE, isolate_declarations, write_space
from tests.support.exit_codes import exit_code

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "use-your-own-networks.md"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_declarations(monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a worker was about to start")

    monkeypatch.setattr(ray, "init", refuse)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    return exit_code(monkeypatch, *map(str, arguments))


def test_a_good_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_space(tmp_path)
    assert run(monkeypatch, "space", "check", path, "--num", "2", "--input-size", "64", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["space"], document["genotypes"], document["checked"], document["passed"]) == (
        "mynets",
        SIZE,
        2,
        True,
    )
    assert {check["result"] for check in document["checks"]} == {"passed"}
    assert document["strides"] == [[4, 8, 16, 32]]
    assert 0 < document["costs"]["lowest"]["flops"] < document["costs"]["highest"]["flops"]
    assert 0 < document["costs"]["lowest"]["params"] < document["costs"]["highest"]["params"]


def test_the_example_of_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = HOWTO.read_text()
    declaration, function = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0] for kind in ("yaml", "python"))
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "backbones.py").write_text(function)
    (tmp_path / "mynets.yaml").write_text(declaration)
    for name in ("mynets", "mynets.backbones"):
        monkeypatch.setitem(sys.modules, name, None)  # removed at the end of the test
        del sys.modules[name]
    assert (
        run(monkeypatch, "space", "check", tmp_path / "mynets.yaml", "--num", "3", "--input-size", "64", "--json") == 0
    )
    assert json.loads(capsys.readouterr().out)["genotypes"] == 7 * 3 * (1 + 2 + 2)


def test_a_failing_check_is_a_line_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_space(tmp_path, BUILD.replace("maps.append(x)", "maps.append(x.detach())"))
    assert run(monkeypatch, "space", "check", path, "--num", "1") == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "failed" in line]
    assert line.startswith('training       failed  {"depth":')
    assert "cannot be trained on one image" in line


def test_a_registered_space_can_be_checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "space", "check", "nasbench201", "--num", "1", "--input-size", "64", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["genotypes"], document["declaration"], document["passed"]) == (None, None, True)


def test_the_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "space", "--json") == 0
    rows = {row["space"]: row["shares_weights"] for row in json.loads(capsys.readouterr().out)}
    assert (rows["nasbench201"], rows["zoo"]) == (True, False)


LABEL = ("label", "--task", "seg", "--space")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("space", "check"), "No such file or directory: name a readable YAML file or a space"),
        (LABEL, "No such file or directory: name a readable YAML file or a space"),
    ],
)
def test_a_missing_file(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments, tmp_path / "none.yaml") == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fidelity", "shared"], "--space mynets: its networks share no weights: use --fidelity full"),
        (["--fidelity", "full", "--num", "13", "--sample", "uniform"], "--num: space mynets has only 12 architectures"),
        (["--fidelity", "full", "--set", "body.width=2"], "body setting 'width' is unknown to space mynets"),
    ],
)
def test_campaigns_that_cannot_start(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", tmp_path / "store"]
    assert run(monkeypatch, *LABEL, write_space(tmp_path), *options, *store) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "store").exists()
