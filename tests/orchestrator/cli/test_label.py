"""The main command for real: labels on Ray actors, then the same again, then more."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import label as module
from orchestrator.cli.app import main

TINY = ["--set", "steps=20", "--set", "ema=0.8", "--set", "batch=4", "--set", "train_images=16"]
TINY += ["--set", "eval_images=8", "--set", "input_size=[32,32]"]


@pytest.mark.usefixtures("ray_session")
def test_a_campaign_a_rerun_and_a_longer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    started: list[int] = []
    monkeypatch.setattr(ray, "init", lambda **_: started.append(1) or _Context())
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # the session's Ray stays

    def label(*arguments: str) -> tuple[int, dict[str, Any]]:
        fixed = ["label", "--task", "cls", "--store", str(tmp_path / "store"), "--workers", "2", "--json"]
        monkeypatch.setattr(sys, "argv", ["orchestrator", *fixed, *TINY, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return int(ended.value.code or 0), document

    code, first = label("--num", "4")
    assert (code, first["labels"], first["missing"], len(started)) == (0, 4, 0, 1)
    assert first["lowest"] <= first["best"]["value"] == first["highest"]
    code, again = label("--num", "4")
    assert (code, again["version"], len(started)) == (0, first["version"], 1)  # no Ray, no row
    code, more = label("--num", "5", "--repeat", "2")
    assert (code, more["labels"], len(started)) == (0, 10, 2)
    assert more["reliability"]["architectures"] == 5
    store = module.DeltaLabelStore(str(tmp_path / "store"))
    assert len(store.keys()) == store.labels().num_rows == 10
    assert store.attempts().num_rows == 10


class _Context:
    dashboard_url = None
