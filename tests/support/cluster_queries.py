"""Every query that the shipped dashboard and alerts make."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def panels() -> dict[str, str]:
    """Queries by the titles of their panels."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "cluster" / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def alerts() -> dict[str, str]:
    """Expressions by the names of their alerts."""
    groups = yaml.safe_load((ROOT / "cluster" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def metrics(query: str) -> set[str]:
    """Names of the metrics in a query."""
    return set(re.findall(r"\bray_\w+", query))


def grouped(query: str) -> set[str]:
    """Names of the labels that a query keeps apart."""
    return {name.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for name in group.split(",")}


def selected(query: str) -> set[tuple[str, str]]:
    """Pairs of a metric and a label that it is chosen by."""
    chosen = re.findall(r"\b(ray_\w+)\{([^}]*)\}", query)
    return {(metric, label) for metric, inside in chosen for label in re.findall(r"(\w+)\s*[=!]", inside)}
