"""The Prometheus queries of the shipped Grafana dashboard and alerts, and the names in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def panels() -> dict[str, str]:
    """Return the dashboard's queries by panel title and reference id."""
    queries: dict[str, str] = {}
    for file in sorted((ROOT / "cluster" / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                queries[f"{panel['title']} {target['refId']}"] = target["expr"]
    return queries


def alerts() -> dict[str, str]:
    """Return the alerts' expressions by alert name."""
    groups = yaml.safe_load((ROOT / "cluster" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def metric_names(query: str) -> set[str]:
    """Return the names of the metrics in a query."""
    return set(re.findall(r"\bray_\w+", query))


def group_labels(query: str) -> set[str]:
    """Return the names of the labels that a query groups by."""
    return {name.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for name in group.split(",")}


def selector_labels(query: str) -> set[tuple[str, str]]:
    """Return pairs of a metric and a label that the query selects it by."""
    selectors = re.findall(r"\b(ray_\w+)\{([^}]*)\}", query)
    return {(metric, label) for metric, inside in selectors for label in re.findall(r"(\w+)\s*[=!]", inside)}
