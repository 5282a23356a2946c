"""A campaign with refreshes of the predictor: Prometheus, configured as shipped, has data for every panel."""

from __future__ import annotations

import itertools
import shutil
import time

import pytest

from orchestrator.predictors.generations import champion_number
from orchestrator.store.delta import DeltaLabelStore
from tests.support.cluster_queries import alerts, panels
from tests.support.cluster_rig import SHARED, Rig
from workers.spaces import get_space

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900), pytest.mark.xdist_group("cluster")]


def test_every_panel_has_data(rig: Rig) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    start = "prometheus --config.file=aiop-orchestrator/cluster/prometheus.yml --storage.tsdb.path=/tmp/prometheus"
    rig.ssh(1, f"nohup {start} --web.listen-address=127.0.0.1:9090 >/tmp/prometheus.log 2>&1 </dev/null &")
    rig.ssh(1, "for _ in {1..60}; do wget -qO- http://127.0.0.1:9090/-/ready && exit; sleep 1; done; exit 1")
    submit = ("ray", "submit", "--no-config-cache", "cluster/rig.yaml", "cluster/submit.py", "--")
    (rig.shared / "results.csv").write_text(results_file())
    rig.run(*submit, "import", f"{SHARED}/results.csv", "--store", f"{SHARED}/monitored")
    label = ("label", "--task", "seg", "--fidelity", "full", "--num", "24", "--set", "steps=100", "--set", "ema=0.9")
    locations = ("--store", f"{SHARED}/monitored", "--predictors", f"{SHARED}/predictors")
    start_time = time.monotonic()
    driver = rig.start_command(*submit, *label, "--refresh-every", "12", *locations)
    empty = panels()
    while empty and not driver.finished:
        empty = {title: query for title, query in empty.items() if not query_result(rig, query)}
        time.sleep(2)
    code, out = driver.wait()
    assert code == 0, out[-3000:]
    assert not empty
    seconds = time.monotonic() - start_time
    print(f"\n24 labels and {champion_number(rig.shared / 'predictors')} generations: {seconds:.0f} s")
    store = DeltaLabelStore(rig.shared / "monitored")
    assert store.labels(fidelity="full").num_rows == 24
    attempts = store.attempts(task="seg").to_pylist()
    assert {a["node"] for a in attempts if a["outcome"] == "ok"} == {"node1", "node2", "node3"}
    assert champion_number(rig.shared / "predictors")
    for expression in alerts().values():
        query_result(rig, expression)  # promtool fails for an invalid expression
    rules = rig.ssh(1, "wget -qO- http://127.0.0.1:9090/api/v1/rules")
    assert all(name in rules for name in alerts())
    assert '"health":"err"' not in rules


def results_file() -> str:
    """Return a CSV file of results: the 24 labels of the campaign are too few for a hold-out."""
    lines = ["model,task,dataset,metric,value"]
    for architecture in itertools.islice(get_space("nasbench201").sequence(0), 150):
        a, b, c, d, e, f = architecture.values["ops"]
        value = sum("conv" in op for op in (a, b, c, d, e, f)) / 6
        lines.append(f"nasbench201:|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|,cls,cifar10,top1,{value:.3f}")
    return "\n".join(lines)


def query_result(rig: Rig, query: str) -> str:
    """Return the samples that Prometheus has for a query; empty if there are none."""
    output = rig.ssh(1, f"promtool query instant http://127.0.0.1:9090 '{query}'")
    return "\n".join(line for line in output.splitlines() if "=>" in line)
