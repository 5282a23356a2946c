"""A campaign that a predictor follows; Prometheus, configured as shipped, has data for every panel meanwhile."""

from __future__ import annotations

import itertools
import shutil
import time

import pytest

from orchestrator.predictors.generations import champion
from orchestrator.store.delta import DeltaLabelStore
from tests.support.cluster_queries import alerts, panels
from tests.support.cluster_rig import SHARED, Rig
from workers.spaces import get_space

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900), pytest.mark.xdist_group("cluster")]


def test_every_panel_has_data(rig: Rig) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("NOT TESTED, no Prometheus: apt-get install prometheus")
    start = "prometheus --config.file=aiop-orchestrator/cluster/prometheus.yml --storage.tsdb.path=/tmp/prometheus"
    rig.ssh(1, f"nohup {start} --web.listen-address=127.0.0.1:9090 >/tmp/prometheus.log 2>&1 </dev/null &")
    rig.ssh(1, "for _ in {1..60}; do wget -qO- http://127.0.0.1:9090/-/ready && exit; sleep 1; done; exit 1")
    submit = ("ray", "submit", "--no-config-cache", "cluster/rig.yaml", "cluster/submit.py", "--")
    (rig.shared / "results.csv").write_text(results())
    rig.run(*submit, "import", f"{SHARED}/results.csv", "--store", f"{SHARED}/monitored")
    label = (
        "label",
        "--task",
        "seg",
        "--fidelity",
        "full",
        "--num",
        "24",
        "--set",
        "steps=100",
        "--set",
        "ema=0.9",
        "--refresh-every",
        "12",
    )
    began = time.monotonic()
    driver = rig.begin(*submit, *label, "--store", f"{SHARED}/monitored", "--predictors", f"{SHARED}/predictors")
    empty = panels()
    while empty and not driver.over:
        empty = {title: query for title, query in empty.items() if not answer(rig, query)}
        time.sleep(2)
    code, out = driver.end()
    assert code == 0, out[-3000:]
    assert not empty
    print(f"\n24 labels and {champion(rig.shared / 'predictors')} generations: {time.monotonic() - began:.0f} s")
    store = DeltaLabelStore(rig.shared / "monitored")
    assert store.labels(fidelity="full").num_rows == 24
    attempts = store.attempts(task="seg").to_pylist()
    assert {a["node"] for a in attempts if a["outcome"] == "ok"} == {"node1", "node2", "node3"}
    assert champion(rig.shared / "predictors")
    for expression in alerts().values():
        answer(rig, expression)  # promtool fails for one that is wrong
    rules = rig.ssh(1, "wget -qO- http://127.0.0.1:9090/api/v1/rules")
    assert all(name in rules for name in alerts())
    assert '"health":"err"' not in rules


def results() -> str:
    """A file of results: enough networks for a hold-out, which two dozen labels are not."""
    lines = ["model,task,dataset,metric,value"]
    for architecture in itertools.islice(get_space("nasbench201").sequence(0), 150):
        a, b, c, d, e, f = architecture.values["ops"]
        value = sum("conv" in op for op in (a, b, c, d, e, f)) / 6
        lines.append(f"nasbench201:|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|,cls,cifar10,top1,{value:.3f}")
    return "\n".join(lines)


def answer(rig: Rig, query: str) -> str:
    """What Prometheus has; empty where it has nothing."""
    found = rig.ssh(1, f"promtool query instant http://127.0.0.1:9090 '{query}'")
    return "\n".join(line for line in found.splitlines() if "=>" in line)
