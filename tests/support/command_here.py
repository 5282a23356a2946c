"""Commands of `orchestrator` in this process and a folder, with real trainings; Ctrl-C ends those that watch."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.driver import evaluator_options
from orchestrator.campaign.in_process import InProcessExecutor
from orchestrator.campaign.preparation import add_shipped
from orchestrator.campaign.progress import CampaignProgress
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.cli.app import main
from orchestrator.search.study import StudySettings
from orchestrator.store.layout import artifacts_uri
from tests.support.label_in_process import InProcessCommitter, Printed
from workers.execution.evaluators import FidelityEvaluator
from workers.execution.preparer import Preparer
from workers.execution.threads import use_cores
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe
from workers.storage.spool import Spool

_CAMPAIGNS = ("campaign", "rounds", "search_run")
_SESSIONS = ("campaign", "lazy_session")
_WATCHED_S = 240.0  # until the first answer of a command that watches


def run_here(words: Sequence[str], folder: Path, *, until: str = "") -> Printed:
    """Run a command in a folder, and return what it printed.

    until: press Ctrl-C once stdout has this text; a command that ends before is not interrupted.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["orchestrator", *words])
        patch.setattr(sys, "path", list(sys.path))
        code = 0
        with _interrupted(lambda: until in out.getvalue()) if until else nullcontext():
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
    return Printed(code, out.getvalue(), err.getvalue())


@contextmanager
def own_modules(folder: Path) -> Iterator[None]:
    """Forget the modules that were imported from a folder: another folder may have other ones of the same names."""
    yield
    for name, module in list(sys.modules.items()):
        fields = vars(module)  # torch.classes has any attribute that one asks for
        places = [fields.get("__file__"), *(fields.get("__path__") or ())]
        if any(place and Path(place).is_relative_to(folder) for place in places):
            del sys.modules[name]


@contextmanager
def labels_made_here() -> Iterator[None]:
    """Let campaigns prepare, train and commit in this process: starting a worker of Ray takes longer than they do."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _CAMPAIGNS:
            patch.setattr(f"orchestrator.cli.{name}.label_requests", _label_requests)
        for name in _SESSIONS:
            patch.setattr(f"orchestrator.cli.{name}.ray_session", lambda *_: nullcontext())
        patch.setattr("orchestrator.cli.campaign.CommitterProcess", InProcessCommitter)
        # A search of four labels evolves once; to trace the hundreds of detectors of its generations takes minutes.
        patch.setattr("orchestrator.cli.search_run.StudySettings", partial(StudySettings, population=8, generations=2))
        yield


def _label_requests(
    config: Any, todo: Sequence[LabelRequest], committer: InProcessCommitter, spool: Spool, *_: Any
) -> CampaignProgress:
    """Do what `orchestrator.campaign.driver.label_requests` does, without Ray."""
    use_cores(1)  # as a worker does
    location = artifacts_uri(config.store)
    for request in {request.recipe.hash: request for request in todo}.values():
        if isinstance(request.recipe, SharedRecipe):
            add_shipped(location, request)
            Preparer(location, request, 1).run()
    executor = InProcessExecutor(FidelityEvaluator(evaluator_options(config, todo)), spool)
    controller = CampaignController(list(todo), f"campaign-{time.time_ns()}", FixedWorkers(1))
    return run_campaign(controller, executor, record=spool.put, commit=committer.drain, poll_s=0.01)


@contextmanager
def _interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Send this process the signal of Ctrl-C once a condition holds. Raises TimeoutError if it never does."""
    ended, sent = threading.Event(), list[bool]()

    def watch() -> None:
        deadline = time.monotonic() + _WATCHED_S
        while not ended.wait(0.1):
            if when() or time.monotonic() > deadline:
                sent.append(when())
                os.kill(os.getpid(), signal.SIGINT)
                return

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, handler)
    if sent == [False]:
        raise TimeoutError(f"no answer after {_WATCHED_S:.0f} s")
