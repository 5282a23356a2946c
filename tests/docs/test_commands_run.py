"""Commands in the documentation run: each in a small form, in a folder like the one that its page describes."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from orchestrator.weights.fetching import MIRROR
from tests.support import small_commands
from tests.support.command_here import labels_made_here, own_modules, run_here
from tests.support.command_outcomes import CHECKS, check_outcome, count_labels
from tests.support.declared_space import isolate_declarations
from tests.support.markdown_blocks import ROOT
from tests.support.page_commands import PAGES, PageCommand, page_commands
from tests.support.page_folders import make_folder, published_files
from tests.support.small_commands import ON_RAY, STOPPED_AFTER, matching, reason_not_to_run, small_words
from tests.support.weights_server import serving

COMMANDS = {path: page_commands(path) for path in PAGES}
ALL = [command for found in COMMANDS.values() for command in found]
RUN = {path: [c for c in found if not reason_not_to_run(c)] for path, found in COMMANDS.items()}


def test_every_command_is_run_or_listed() -> None:
    assert len(ALL) > 80
    for command in ALL:
        if not reason_not_to_run(command):
            assert command.is_ours, f"{command}: no test runs it: add it to NOT_RUN with the reason"
            assert command.words[1] in CHECKS, f"{command}: nothing checks what comes out"


def test_every_rule_is_of_a_command() -> None:
    for table in (small_commands.NOT_RUN, small_commands.SMALLER, small_commands.REPLACED, ON_RAY, STOPPED_AFTER):
        for rule in table:
            assert rule.why
            assert any(re.search(rule.where, str(command)) for command in ALL), f"{rule}: no command matches"


def test_no_option_is_left_out() -> None:
    for command in (c for found in RUN.values() for c in found):
        small = small_words(command, {"device": "cpu", "fetched": "file"})
        assert _options(command.words) <= _options(small), command


def _options(words: Iterable[str]) -> set[str]:
    """Return the options, and the fields of --set."""
    words = list(words)
    fields = {after.split("=")[0] for word, after in itertools.pairwise(words) if word == "--set"}
    return fields | {word for word in words if word.startswith("--")}


@pytest.fixture(scope="module")
def publishers() -> Iterator[str]:
    """The address of a server with published weights."""
    with serving(published_files()) as server:
        yield server.url


def _pages() -> list[Any]:
    """Return the pages with commands that run. Those with a command on Ray share the Ray of the session."""
    on_ray = {path: any(matching(ON_RAY, command) for command in found) for path, found in RUN.items() if found}
    group = pytest.mark.xdist_group("ray")
    return [pytest.param(path, marks=[group] if ray else [], id=_name(path)) for path, ray in on_ray.items()]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT).with_suffix("")).removeprefix("docs/")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", _pages())
def test_page(
    path: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    publishers: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if any(matching(ON_RAY, command) for command in RUN[path]):
        request.getfixturevalue("ray_session")
    isolate_declarations(monkeypatch)
    monkeypatch.setenv(MIRROR, publishers)
    make_folder(path, RUN[path], tmp_path)
    printed: dict[str, str] = {}
    with own_modules(tmp_path):
        for command in RUN[path]:
            began, cpu = time.perf_counter(), time.process_time()
            _run(command, tmp_path, printed)
            seconds = time.perf_counter() - began, time.process_time() - cpu
            with capsys.disabled():
                print("\n{:5.1f} s, CPU {:5.1f} s  {}".format(*seconds, command), end="", flush=True)


def _run(command: PageCommand, folder: Path, printed: dict[str, str]) -> None:
    """Run a command and check what it left. printed: what later commands of the page need, which is added to."""
    words = small_words(command, printed)
    words = [name for word in words for name in (_names(folder, word) if word.startswith("@") else [word])]
    before = count_labels(folder)
    stop = matching(STOPPED_AFTER, command)
    with nullcontext() if matching(ON_RAY, command) else labels_made_here():
        ended = run_here(words, folder, until=stop.text if stop else "")
    what = f"{command}\nrun as: {' '.join(words)}\n{ended.out}\n{ended.err}"
    assert ended.code == 0, f"exit code {ended.code}: {what}"
    try:
        check_outcome(words, folder, ended, before)
    except (AssertionError, ValueError, OSError, KeyError) as error:
        raise AssertionError(f"{error}: {what}") from error
    for name, pattern in (("fetched", r"(?m)^path: (\S+)"), ("device", r"data set: (\S+)")):
        if found := re.search(pattern, ended.out + ended.err):
            printed[name] = found[1]


def _names(folder: Path, word: str) -> list[str]:
    return (folder / word.removeprefix("@")).read_text().split()
