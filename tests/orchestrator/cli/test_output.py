"""Progress of a campaign without a terminal."""

import pytest

from orchestrator.campaign.progress import CampaignProgress, CampaignState
from orchestrator.cli import output


def progress(done: int = 0, in_flight: int = 0, starting: int = 0) -> CampaignProgress:
    return CampaignProgress(CampaignState.RUNNING, 8 - done - in_flight, in_flight, done, 0, starting, 0, {}, 0.5)


def test_plain_lines_are_few_but_never_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    now = 1000.0
    monkeypatch.setattr(output, "say", said.append)
    monkeypatch.setattr(output.time, "monotonic", lambda: now)
    show = output._PlainLines(8, now)
    show(progress(starting=2))
    now += 1
    show(progress(in_flight=2))  # too soon after the last line
    now += 20
    show(progress(in_flight=2))
    now += 20
    show(progress(in_flight=2))  # nothing has changed
    assert len(said) == 2
    assert "0 in flight, 2 workers starting, 0 labels/h" in said[0]
    assert "2 in flight, 0 labels/h" in said[1]
    now += 60
    show(progress(in_flight=2))  # still nothing, but it is alive
    assert len(said) == 3
