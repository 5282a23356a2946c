"""Campaigns by `ray submit` on a cluster: undisturbed, refused, and with a failing driver, network or machine."""

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
    """A running campaign, and the keys of all labels that were in its spool or store at some time."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig, self.store = rig, rig.shared / name
        self.command = (*SUBMIT, *LABEL, "--store", f"{SHARED}/{name}")
        self.acknowledged: set[str] = set()
        self.start_time = time.monotonic()
        self.earlier_labels = {machine.number: len(started_labels(machine)) for machine in rig.machines}
        self.driver = rig.start_command(*self.command)

    def watch_until(self, condition: Callable[[], bool], seconds: float = 900) -> None:
        """Record acknowledged labels until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.acknowledged}\n{self.rig.ssh(1, 'ray status 2>&1 | cat')}"
            self.record()
            time.sleep(0.5)
        self.record()

    def record(self) -> None:
        """Record the labels that are in the spool or the store now: they must not get lost."""
        spool = self.store / "_spool"
        if spool.exists():
            spooled = {report.job.request.key for report in FolderSpool(spool).read() if report.measurement}
            self.acknowledged |= spooled | DeltaLabelStore(self.store).keys()

    def has_started_on(self, number: int) -> bool:
        """Return whether a machine has started a label of this campaign."""
        return len(started_labels(self.rig.machines[number - 1])) > self.earlier_labels[number]

    def finish(self) -> list[dict[str, object]]:
        """Wait for the end, check that every label is stored once, and return the rows of all attempts."""
        self.watch_until(lambda: self.driver.finished)
        code, out = self.driver.wait()
        assert code == 0, out[-6000:]
        store = DeltaLabelStore(self.store)
        keys = store.labels()["key"].to_pylist()
        assert len(keys) == len(set(keys)) == COUNT
        assert self.acknowledged <= set(keys)
        assert not list((self.store / "_spool").glob("*.json"))
        attempts: list[dict[str, object]] = store.attempts().to_pylist()
        outcomes = sorted((str(a["node"]), str(a["outcome"])) for a in attempts)
        seconds = time.monotonic() - self.start_time
        print(f"\n{self.store.name}: {seconds:.0f} s, {len(keys)} labels, attempts {outcomes}")
        return attempts


def started_labels(machine: Machine) -> list[str]:
    """Return the log lines with which workers on a machine report the start of a label."""
    return machine.log_lines(": started, seed")


def nodes(attempts: list[dict[str, object]], outcome: str = "ok") -> set[object]:
    """Return the names of the nodes with attempts of this outcome."""
    return {attempt["node"] for attempt in attempts if attempt["outcome"] == outcome}


def test_labels_come_from_all_machines(rig: Rig) -> None:
    assert nodes(Campaign(rig, "undisturbed").finish()) == {"node1", "node2", "node3"}
    (first, *_) = started_labels(rig.machines[2])
    assert "seg nasbench201 " in first
    assert "attempt 1: started, seed 0" in first


def test_a_ray_job_runs_without_a_terminal(rig: Rig) -> None:
    label = f"label --task seg --fidelity full --num {COUNT + 1} --set steps=100 --set ema=0.9"
    job = f"ray job submit -- orchestrator {label} --store {SHARED}/undisturbed"
    out = rig.run("ray", "exec", "--no-config-cache", "cluster/rig.yaml", job)
    assert f"{COUNT + 1} labels requested: {COUNT} already there or failed, 1 to make" in out
    assert len(DeltaLabelStore(rig.shared / "undisturbed").keys()) == COUNT + 1


def test_access_without_the_token_is_refused(rig: Rig) -> None:
    list_jobs = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8265/api/jobs/"
    submit = f"""{list_jobs} -H 'Content-Type: application/json' -d '{{"entrypoint": "touch /tmp/reached"}}'"""
    wrong = "-H 'Authorization: Bearer 0123456789abcdef0123456789abcdef'"
    for request in (list_jobs, submit, f"{list_jobs} {wrong}", f"{submit} {wrong}"):
        assert rig.ssh(1, request) in {"401", "403"}, request
    assert rig.ssh(1, f'{list_jobs} -H "Authorization: Bearer $(cat ~/.ray/auth_token)"') == "200"
    assert "touch /tmp/reached" not in rig.ssh(1, "ray job list 2>&1 | cat")


def test_a_store_that_is_not_shared_is_refused(rig: Rig) -> None:
    code, out = rig.start_command(*SUBMIT, *LABEL, "--store", "labels").wait()
    assert code == 1  # the only code with which `ray submit` fails
    assert "error: node node" in out
    assert "/root/labels/_spool cannot be reached: mount shared storage there on every node" in out


def test_a_machine_with_other_code_is_refused(rig: Rig) -> None:
    changed = rig.machines[1].home / "root" / "aiop-orchestrator" / "workers" / "messages" / "label.py"
    before = changed.read_text()
    changed.write_text(f"{before}\n# changed\n")
    code, out = rig.start_command(*SUBMIT, *LABEL, "--store", f"{SHARED}/refused").wait()
    changed.write_text(before)
    assert code == 1
    assert "error: node node2: runs other code than the driver" in out


def test_the_driver_is_killed_and_submitted_again(rig: Rig) -> None:
    campaign = Campaign(rig, "driver-killed")
    campaign.watch_until(lambda: bool(campaign.acknowledged))
    rig.ssh(1, "pkill -9 -f '[a]iop-venv/bin/python.*submit.py|[p]ython /root/submit.py'")
    assert campaign.driver.wait(60)[0] == 1
    assert len(DeltaLabelStore(campaign.store).keys()) < COUNT
    campaign.driver = rig.start_command(*campaign.command)
    campaign.finish()


def test_a_machine_is_disconnected_for_a_minute(rig: Rig) -> None:
    campaign = Campaign(rig, "cut-off")
    campaign.watch_until(lambda: campaign.has_started_on(3))
    rig.machines[2].space.disconnect()
    disconnected_at = time.monotonic()
    campaign.watch_until(lambda: time.monotonic() - disconnected_at > 60)
    rig.machines[2].space.reconnect()
    attempts = campaign.finish()
    # The label is made again elsewhere, unless the machine is back before its turn comes and reports it after all.
    cut_off = {a["key"] for a in attempts if a["node"] == "node3" and a["attempt"] == 1}
    labels = DeltaLabelStore(campaign.store).labels().to_pylist()
    made = [(row["node"] == "node3", row["attempt"]) for row in labels if row["key"] in cut_off]
    assert made
    assert set(made) <= {(True, 1), (False, 2)}
    rig.wait_for_nodes(3)


def test_a_machine_is_killed(rig: Rig) -> None:
    campaign = Campaign(rig, "machine-killed")
    campaign.watch_until(lambda: campaign.has_started_on(2))
    rig.machines[1].kill()
    attempts = campaign.finish()
    assert [a for a in attempts if a["node"] == "node2" and a["outcome"] in {"lost_node", "crash"}]
    assert nodes(attempts) >= {"node1", "node3"}
