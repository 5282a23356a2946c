"""A driver to be killed: the fake campaign of `requests`, on the Ray at ADDRESS, into STORE. Prints its end."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

from orchestrator.campaign.controller import CampaignController
from orchestrator.campaign.failure import FailurePolicy
from orchestrator.campaign.ray_executor import ActorSpec, RayExecutor
from orchestrator.campaign.run import run_campaign
from orchestrator.campaign.scaling import FixedWorkers
from orchestrator.store.committer_process import CommitterProcess
from orchestrator.store.delta import DeltaLabelStore
from tests.support.fake_evaluator import RECIPE, request
from workers.messages.label import LabelRequest
from workers.storage.folder_spool import FolderSpool


def requests(count: int) -> list[LabelRequest]:
    """Mostly short sleeps; some give NaN, find bad data or hang once past their time limit."""
    hurried = RECIPE.model_copy(update={"time_limit_s": 0.8})
    odd = [request(0, "nan"), request(1, "bad_data"), request(2, "raise"), request(3, "nan", 0.1)]
    return [*odd, request(4, "hang", recipe=hurried), *(request(n, seconds=0.15) for n in range(5, count))]


def main(address: str, place: str, count: int) -> None:
    """Go on where the last driver was killed."""
    import ray

    ray.init(address=address, log_to_driver=False)
    store, spool = DeltaLabelStore(place), FolderSpool(Path(place) / "_spool")
    committer = CommitterProcess(place, spool.place)
    committer.drain()
    settled = store.keys() | store.finally_failed()
    todo = [r for r in requests(count) if r.key not in settled]
    Path(place, "committer.pid").write_text(str(committer.pid))
    Path(place, "driver.started").touch()

    def commit() -> None:
        committer.drain()
        Path(place, "committer.pid").write_text(str(committer.pid))

    end = run_campaign(
        CampaignController(todo, uuid.uuid4().hex[:12], FixedWorkers(4), FailurePolicy(infrastructure_cap=2)),
        RayExecutor(
            ActorSpec(
                "faking", "fake", "tests.support.fake_evaluator:build", str(spool.directory), resources={"CPU": 0.5}
            )
        ),
        record=spool.put,
        commit=commit,
        commit_every_s=0.1,
        poll_s=0.1,
    )
    committer.close()
    print(json.dumps({"done": end.done, "failed": end.failed, "todo": end.todo, "problem": end.problem}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
