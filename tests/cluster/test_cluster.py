"""`ray up`, then campaigns by `ray submit`: undisturbed, refused, and with driver, network and machine failing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from orchestrator.store.delta import DeltaLabelStore
from tests.support.cluster_rig import SHARED, Machine, Rig
from workers.storage.folder_spool import FolderSpool

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200), pytest.mark.xdist_group("cluster")]
SUBMIT = ("ray", "submit", "--no-config-cache", "cluster/rig.yaml", "cluster/submit.py", "--")
COUNT = 24
LABEL = ("label", "--task", "seg", "--fidelity", "full", "--num", str(COUNT), "--set", "steps=100", "--set", "ema=0.9")


class Campaign:
    """One under way, and every label that was in spool or store at some time."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig, self.place = rig, rig.shared / name
        self.command = (*SUBMIT, *LABEL, "--store", f"{SHARED}/{name}")
        self.acknowledged: set[str] = set()
        self.began = time.monotonic()
        self.begun = {machine.number: len(begun(machine)) for machine in rig.machines}
        self.driver = rig.begin(*self.command)

    def watch_until(self, happened: Callable[[], bool], seconds: float = 900) -> None:
        """Note what is acknowledged until something has happened."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"{self.acknowledged}\n{self.rig.ssh(1, 'ray status 2>&1 | cat')}"
            self.note()
            time.sleep(0.5)
        self.note()

    def note(self) -> None:
        """What is there now cannot get lost any more."""
        spool = self.place / "_spool"
        if spool.exists():
            waiting = {report.job.request.key for report in FolderSpool(spool).read() if report.measurement}
            self.acknowledged |= waiting | DeltaLabelStore(self.place).keys()

    def at_work(self, number: int) -> bool:
        """Whether a machine has begun a label of this campaign."""
        return len(begun(self.rig.machines[number - 1])) > self.begun[number]

    def finish(self) -> list[dict[str, object]]:
        """The rows of its attempts once it has ended well, with all its labels."""
        self.watch_until(lambda: self.driver.over)
        code, out = self.driver.end()
        assert code == 0, out[-6000:]
        store = DeltaLabelStore(self.place)
        keys = store.labels()["key"].to_pylist()
        assert len(keys) == len(set(keys)) == COUNT
        assert self.acknowledged <= set(keys)
        assert not list((self.place / "_spool").glob("*.json"))
        attempts: list[dict[str, object]] = store.attempts().to_pylist()
        ends = sorted((str(a["node"]), str(a["outcome"])) for a in attempts)
        print(f"\n{self.place.name}: {time.monotonic() - self.began:.0f} s, {len(keys)} labels, attempts {ends}")
        return attempts


def begun(machine: Machine) -> list[str]:
    return machine.log_lines(": begins, seed")


def nodes(attempts: list[dict[str, object]], outcome: str = "ok") -> set[object]:
    return {attempt["node"] for attempt in attempts if attempt["outcome"] == outcome}


def test_labels_come_from_all_machines(rig: Rig) -> None:
    assert nodes(Campaign(rig, "undisturbed").finish()) == {"node1", "node2", "node3"}
    (first, *_) = begun(rig.machines[2])
    assert "seg nasbench201 " in first
    assert "attempt 1: begins, seed 0" in first


def test_a_job_needs_no_terminal(rig: Rig) -> None:
    label = f"label --task seg --fidelity full --num {COUNT + 1} --set steps=100 --set ema=0.9"
    job = f"ray job submit -- orchestrator {label} --store {SHARED}/undisturbed"
    out = rig.run("ray", "exec", "--no-config-cache", "cluster/rig.yaml", job)
    assert f"{COUNT + 1} labels asked for, {COUNT} already settled, 1 to make" in out
    assert len(DeltaLabelStore(rig.shared / "undisturbed").keys()) == COUNT + 1


def test_without_the_token_nobody_looks_or_submits(rig: Rig) -> None:
    look = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8265/api/jobs/"
    submit = f"""{look} -H 'Content-Type: application/json' -d '{{"entrypoint": "touch /tmp/reached"}}'"""
    wrong = "-H 'Authorization: Bearer 0123456789abcdef0123456789abcdef'"
    for asked in (look, submit, f"{look} {wrong}", f"{submit} {wrong}"):
        assert rig.ssh(1, asked) in {"401", "403"}, asked
    assert rig.ssh(1, f'{look} -H "Authorization: Bearer $(cat ~/.ray/auth_token)"') == "200"
    assert "touch /tmp/reached" not in rig.ssh(1, "ray job list 2>&1 | cat")


def test_a_store_that_is_not_shared_is_refused(rig: Rig) -> None:
    code, out = rig.begin(*SUBMIT, *LABEL, "--store", "labels").end()
    assert code == 1  # `ray submit` gives no other
    assert "error: node node" in out
    assert "/root/labels/_spool cannot be reached: mount shared storage there on every node" in out


def test_a_machine_with_other_code_is_refused(rig: Rig) -> None:
    changed = rig.machines[1].home / "root" / "aiop-orchestrator" / "workers" / "messages" / "label.py"
    before = changed.read_text()
    changed.write_text(f"{before}\n# changed\n")
    code, out = rig.begin(*SUBMIT, *LABEL, "--store", f"{SHARED}/refused").end()
    changed.write_text(before)
    assert code == 1
    assert "error: node node2: runs other code than the driver" in out


def test_the_driver_is_killed_and_submitted_again(rig: Rig) -> None:
    campaign = Campaign(rig, "driver-killed")
    campaign.watch_until(lambda: bool(campaign.acknowledged))
    rig.ssh(1, "pkill -9 -f '[a]iop-venv/bin/python.*submit.py|[p]ython /root/submit.py'")
    assert campaign.driver.end(60)[0] == 1
    assert len(DeltaLabelStore(campaign.place).keys()) < COUNT
    campaign.driver = rig.begin(*campaign.command)
    campaign.finish()


def test_a_machine_is_cut_off_for_a_minute(rig: Rig) -> None:
    campaign = Campaign(rig, "cut-off")
    campaign.watch_until(lambda: campaign.at_work(3))
    rig.machines[2].cut_off(True)
    cut = time.monotonic()
    campaign.watch_until(lambda: time.monotonic() - cut > 60)
    rig.machines[2].cut_off(False)
    attempts = campaign.finish()
    lost = [a for a in attempts if a["node"] == "node3" and a["outcome"] in {"lost_node", "crash"}]
    assert lost
    rig.wait_for_nodes(3)


def test_a_machine_is_killed(rig: Rig) -> None:
    campaign = Campaign(rig, "machine-killed")
    campaign.watch_until(lambda: campaign.at_work(2))
    rig.machines[1].kill()
    attempts = campaign.finish()
    assert [a for a in attempts if a["node"] == "node2" and a["outcome"] in {"lost_node", "crash"}]
    assert nodes(attempts) >= {"node1", "node3"}
