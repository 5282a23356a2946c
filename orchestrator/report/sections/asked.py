"""What was asked for, and the commands that make the same labels again."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.report.blocks import Block, Column, Command, SectionBody, Table, Text
from orchestrator.report.commands import reproducing_command
from orchestrator.report.comparable import ComparableLabels
from orchestrator.report.contents import ReportContents
from orchestrator.report.section import Section

_MAX_COMMANDS = 12
_MAX_ROWS = 200
_COLUMNS = (
    Column("title", "labels of"),
    Column("labels"),
    Column("networks"),
    Column("seeds"),
    Column("first", "first label"),
    Column("last", "last label"),
)


def _build(contents: ReportContents) -> SectionBody:
    if not contents.groups:
        return SectionBody(missing="Nothing was labelled yet: start with `orchestrator label --task seg`.")
    by_time = sorted(contents.groups, key=lambda group: min(row["started"] for row in group.rows))
    rows = [_row(group) for group in by_time]
    total = len(rows) if len(rows) > _MAX_ROWS else None
    table = Table("Requests", _COLUMNS, rows[:_MAX_ROWS], total, f"orchestrator status --store {contents.store}")
    blocks: list[Block] = [table, Text(_EXPLANATION)]
    commands = dict[str, str]()
    for group in sorted(contents.groups, key=_importance)[:_MAX_COMMANDS]:
        commands[group.name] = reproducing_command(group, contents.store)
        blocks.append(Command(group.title, commands[group.name], json.dumps(json.loads(group.recipe), indent=1)))
    if left_out := len(contents.groups) - len(commands):
        blocks.append(Text(f"The commands of {left_out} smaller groups are left out."))
    return SectionBody(blocks, {"groups": rows, "commands": commands})


_EXPLANATION = (
    "These commands make the same labels again; with the store that has them they add nothing. Where a command names "
    "recipe.yaml, save the recipe below it, which was resolved from tier, file and options, under this name."
)


def _importance(group: ComparableLabels) -> tuple[bool, int, str]:
    """Labels made here come first, then larger groups."""
    return group.fidelity in ("published", "measured"), -len(group.rows), group.name


def _row(group: ComparableLabels) -> dict[str, Any]:
    started, finished = (row["started"] for row in group.rows), (row["finished"] for row in group.rows)
    return {
        "group": group.name,
        "title": group.title,
        "labels": len(group.rows),
        "networks": len(group.networks),
        "seeds": len(group.seeds),
        "first": f"{min(started):%Y-%m-%d %H:%M} UTC",
        "last": f"{max(finished):%Y-%m-%d %H:%M} UTC",
    }


SECTION = Section("asked", "What was asked", _build)
