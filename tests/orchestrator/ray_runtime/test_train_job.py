"""Ctrl-C while Ray Train runs, and after it. The run itself is a stand-in that handles signals as Ray's does."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ray_runtime.train_job import ResourceRequest, run_train_job


class _Trainer:
    """Sets a handler of Ctrl-C and leaves it set, as `ray.train.torch.TorchTrainer.fit` does."""

    pressed = False

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def fit(self) -> None:
        """Handle Ctrl-C as Ray does: stop the run and exit with code 0."""
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        if self.pressed:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def handler() -> Any:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("pressed", [False, True])
def test_ctrl_c_interrupts_a_run_and_what_comes_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handler: Any, pressed: bool
) -> None:
    monkeypatch.setattr("ray.train.torch.TorchTrainer", _Trainer)
    monkeypatch.setattr(_Trainer, "pressed", pressed)

    def run() -> None:
        run_train_job(lambda _: None, {}, ResourceRequest(cpus=1), tmp_path)

    if pressed:
        with pytest.raises(KeyboardInterrupt):
            run()
    else:
        run()
    assert signal.getsignal(signal.SIGINT) is handler
