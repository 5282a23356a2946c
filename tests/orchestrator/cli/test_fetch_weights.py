"""`orchestrator fetch-weights`: its document, its text, and its errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from orchestrator.weights.fetching import MIRROR
from tests.support.exit_codes import exit_code
from tests.support.weights_server import serving


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, cache: Path) -> int:
    monkeypatch.setenv("AIOP_CACHE", str(cache))
    return exit_code(monkeypatch, "fetch-weights", *arguments)


def test_a_checkpoint_becomes_a_file_that_recipes_can_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {"w": torch.ones(2)}, "optimizer": {"lr": 1}}, tmp_path / "w.pth")
    assert run([str(tmp_path / "w.pth"), "--json"], monkeypatch, tmp_path / "cache") == 0
    document = json.loads(capsys.readouterr().out)
    path = Path(document["path"])
    assert path.parent == tmp_path / "cache" / "weights"
    assert path.is_file()
    assert (document["entry"], document["tensors"], document["dropped"]) == ("state_dict", 1, 0)
    assert document["use"].endswith(f"--set body.pretrained={path}")
    assert run([str(tmp_path / "w.pth")], monkeypatch, tmp_path / "cache") == 0
    assert f"path: {path}" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.pth"], "nothing.pth: No such file or directory: name a checkpoint or published weights"),
        (["ofa:none"], "ofa:none: no such weights: choose ofa:mobilenetv3_w1.0"),
        (["ofa:mobilenetv3_w1.0"], "ofa_mbv3_d234_e346_k357_w1.0: the server answered 404 Not Found: name a mirror"),
        (["ofa:mobilenetv3_w1.0", "--mirror", "here"], "mirror 'here': must be a URL"),
        (["ofa:mobilenetv3_w1.0", "--sha256", "12"], "--sha256 12: write 8 to 64 hexadecimal digits"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving({}) as server:
        monkeypatch.setenv(MIRROR, server.url)
        assert run(arguments, monkeypatch, tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert message in captured.err


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['orchestrator', 'fetch-weights', '--help']\n"
        "import orchestrator.cli\n"
        "try: orchestrator.cli.main()\n"
        "except SystemExit: print([m for m in ('torch', 'requests', 'timm') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
