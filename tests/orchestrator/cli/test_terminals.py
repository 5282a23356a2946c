"""What commands print on terminals and pipes of all kinds, and on full disks."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from orchestrator.cli import app as app_module
from orchestrator.errors import ConfigError
from orchestrator.store.delta import DeltaLabelStore
from predictor.errors import write_problem
from predictor.text_files import decode
from tests.support.exit_codes import exit_code
from tests.support.store_reports import report
from workers.errors import RecipeError
from workers.messages.recipe_files import load_recipe
from workers.yaml_file import read_mapping


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    location = str(tmp_path_factory.mktemp("stores") / "étiquettes")
    DeltaLabelStore(location).commit([report(0), report(1)])
    return location


def run(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[bytes]:
    code = "from orchestrator.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, timeout=100, env={**os.environ, **variables}
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "latin-1", "TERM": "dumb", "COLUMNS": "20"},
        {"COLUMNS": "20", "TERM": "xterm-256color"},
    ],
)
def test_pipes_get_all_columns_and_no_escape_codes(variables: dict[str, str], store: str) -> None:
    done = run(["labels", "--store", store], **variables)
    assert (done.returncode, b"\x1b" in done.stdout + done.stderr) == (0, False)
    assert b"Traceback" not in done.stderr
    header, *rows = done.stdout.splitlines()
    assert (header.split()[0], header.split()[-1], len(rows)) == (b"architecture", b"genotype", 2)
    missing = run(["status", "--store", f"{store}-é-no"], **variables)
    assert (missing.returncode, b"Traceback" in missing.stderr) == (0, False)


def test_arguments_that_the_terminal_cannot_encode_are_named(store: str) -> None:
    done = run(["labels", "--store", store], LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2
    assert b"is not in the encoding of this terminal: set LC_ALL=C.UTF-8" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_under_the_output_is_one_line(store: str) -> None:
    code = "from orchestrator.cli import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "labels", "--store", store, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=100,
        )
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    assert b"No space left on device: free space there" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_under_a_file_is_one_line(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.csv").symlink_to("/dev/full")
    assert exit_code(monkeypatch, "labels", "--store", store, "--out", str(tmp_path / "out.csv")) == 2
    assert "free space there, or write to another disk" in capsys.readouterr().err


def test_problems_of_writing_have_their_own_remedy() -> None:
    full, rights = (OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EACCES))
    assert write_problem(full, "choose") == "No space left on device: free space there, or write to another disk"
    assert write_problem(OSError(errno.EDQUOT, "Quota"), "choose").startswith("Quota: free space")
    assert write_problem(rights, "choose a writable file") == "Permission denied: choose a writable file"
    assert "free space" in write_problem(OSError("Error writing: No space left on device"), "choose")


def test_warnings_for_developers_of_libraries_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        app_module._prepare_terminal()
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning, UserWarning):
            warnings.warn("old", category, stacklevel=1)
        for text in ("index_reduce() is in beta", "DeprecationWarning: `num_anchors` is deprecated"):
            warnings.warn(text, UserWarning, stacklevel=1)
    assert [warning.category for warning in shown] == [UserWarning]
    assert "ignore::FutureWarning" in os.environ["PYTHONWARNINGS"]
    assert "ignore:index_reduce:UserWarning" in os.environ["PYTHONWARNINGS"]


def test_labels_show_what_the_documentation_says(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(monkeypatch, "labels", "--store", store, "--json")
    rows = json.loads(capsys.readouterr().out)
    stored = {row["key"]: row["genotype"] for row in DeltaLabelStore(store).labels().to_pylist()}
    assert {row["key"]: row["genotype"] for row in rows} == stored


@pytest.mark.parametrize("steps", [1, 5, 15, 60, 99])
def test_fewer_steps_alone_are_enough(steps: int) -> None:
    recipe = load_recipe("laptop", "cls", "nasbench201", {"steps": steps})
    assert recipe.steps == steps
    assert recipe.ema == 0 or steps * (1 - recipe.ema) >= 1


def test_an_average_that_the_user_chose_is_not_replaced() -> None:
    with pytest.raises(RecipeError, match=r"lower ema or raise steps \(ema: decay of the averaged"):
        load_recipe("laptop", "cls", "nasbench201", {"steps": 5, "ema": 0.99})
    unchanged = load_recipe("laptop", "cls", "nasbench201")
    assert load_recipe("laptop", "cls", "nasbench201", {"steps": unchanged.steps}) == unchanged


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_yaml_files_have_any_mark(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_bytes("name: é\n".encode(encoding))
    assert read_mapping(tmp_path / "file.yaml", "recipe", ConfigError, "a file", "of fields") == {"name": "é"}


def test_other_encodings_are_named() -> None:
    with pytest.raises(ValueError, match="byte 1 is not UTF-8: save it as UTF-8"):
        decode("é".encode("cp1252"))


def test_streams_that_are_no_text_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    app_module._prepare_terminal()
    assert isinstance(sys.stdout, io.StringIO)
