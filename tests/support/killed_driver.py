"""A driver for tests that kill it: runs the campaign of `requests` on the Ray at ADDRESS into STORE, prints counts."""

from __future__ import annotations

import json
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.failure import FailurePolicy
from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.campaign.stored_meanwhile import StoredMeanwhile
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from orchestrator.store.layout import spool_uri
from tests.support.fake_evaluator import RECIPE, request
from workers.messages.label import LabelRequest
from workers.storage.spool import in_object_store, open_spool


def requests(count: int) -> list[LabelRequest]:
    """Return mostly short sleeps; some give NaN, find bad data or hang beyond their time limit."""
    short_limit = RECIPE.model_copy(update={"time_limit_s": 0.8})
    failing = [request(0, "nan"), request(1, "bad_data"), request(2, "raise"), request(3, "nan", 0.1)]
    return [*failing, request(4, "hang", recipe=short_limit), *(request(n, seconds=0.15) for n in range(5, count))]


def main(address: str, uri: str, count: int, infrastructure_cap: int = 2) -> None:
    """Continue the campaign after the last driver was killed. infrastructure_cap: as in FailurePolicy."""
    import ray

    ray.init(address=address, log_to_driver=False)
    store, spool = DeltaLabelStore(uri), open_spool(spool_uri(uri))
    committer = CommitterProcess(uri, spool.location)
    committer.drain()
    settled = store.keys() | store.finally_failed()
    todo = [r for r in requests(count) if r.key not in settled]
    if not in_object_store(uri):
        Path(uri, "committer.pid").write_text(str(committer.pid))
        Path(uri, "driver.started").touch()

    policy = FailurePolicy(infrastructure_cap=infrastructure_cap)
    controller = CampaignController(todo, uuid.uuid4().hex[:12], FixedWorkers(4), policy)
    meanwhile = StoredMeanwhile(todo, controller, committer.labelled)

    def commit() -> tuple[str, ...]:
        drained = committer.drain()
        with suppress(OSError):  # tests fill the disk
            if not in_object_store(uri):
                Path(uri, "committer.pid").write_text(str(committer.pid))
        return meanwhile.after(drained)

    evaluator = "tests.support.fake_evaluator:build"
    end = run_campaign(
        controller,
        RayExecutor(ActorSpec("faking", "fake", evaluator, spool.location, resources={"CPU": 0.5})),
        record=spool.put,
        commit=commit,
        commit_every_s=0.1,
        poll_s=0.1,
    )
    committer.close()
    print(json.dumps({"done": end.done, "failed": end.failed, "todo": end.todo, "problem": end.problem}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
