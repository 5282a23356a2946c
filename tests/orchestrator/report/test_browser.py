"""A browser opens the page without asking for anything else. AIOP_CHROMIUM names the browser, else it is searched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.report.contents import read_contents
from orchestrator.report.page import build_report
from orchestrator.report.sections import SECTIONS
from orchestrator.store.delta import DeltaLabelStore
from tests.support.reported_store import make_store

_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_BROWSER = "not an origin"


def chromium() -> str:
    """Return the browser's program; skip the test if there is none."""
    named = os.environ.get("AIOP_CHROMIUM", "")
    found = named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("NO CHROMIUM: install it, or name its program in AIOP_CHROMIUM, to open the report in a browser")
    return found


def opened(page: Path, folder: Path) -> tuple[str, list[str]]:
    """Return the document as the browser holds it, and the addresses that the page asked the network for.

    The browser's own requests, such as for the time, have no origin.
    """
    log = folder / "net.json"
    program = [chromium(), *_QUIET, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom"]
    ended = subprocess.run([*program, page.as_uri()], capture_output=True, text=True, timeout=200, check=True)
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    asked = {str(event["url"]) for event in events if event.get("initiator", _BROWSER) != _BROWSER and "url" in event}
    return ended.stdout, sorted(address for address in asked if not address.startswith(("file:", "data:")))


def test_no_request_leaves_the_page(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    page = tmp_path / "report.html"
    contents = read_contents(DeltaLabelStore(store), str(store), tmp_path / "none")
    page.write_text(build_report(contents).html)
    dom, asked = opened(page, tmp_path)
    assert asked == []
    assert all(f'<section id="{section.key}"' in dom for section in SECTIONS)
    assert dom.count("<svg") == page.read_text().count("<svg")


def test_the_check_would_notice_a_request(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<!DOCTYPE html><title>x</title><img src="http://example.invalid/picture.png" alt="">')
    _, asked = opened(page, tmp_path)
    assert asked == ["http://example.invalid/picture.png"]
