"""The page of all commands with their arguments and options, from the program itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from orchestrator.cli.app import app

PAGE = "reference/commands.md"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=commands_markdown()))
    return files


def commands_markdown() -> str:
    """Return a section for each command, in the order of `orchestrator --help`."""
    program = typer.main.get_command(app)
    context = program.make_context("orchestrator", [], resilient_parsing=True)
    intro = (
        "# Commands\n\n"
        "Exit codes: 0 (done), 1 (labels are missing, or a check failed), 2 (a user error, reported in one line).\n"
    )
    return "\n".join([intro, *_sections(program, context, 2)])


def _sections(group: Any, context: Any, level: int) -> Iterator[str]:
    """Yield the sections of the commands of a group."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context)
        yield _section(command, inner, level)
        if hasattr(command, "list_commands"):
            yield from _sections(command, inner, level + 1)


def _section(command: Any, context: Any, level: int) -> str:
    text = inspect.cleandoc(command.help or "")
    usage = " ".join(command.collect_usage_pieces(context))
    title = context.command_path.removeprefix("orchestrator ")
    parts = [f"{'#' * level} {title}", text, f"```text\n{context.command_path} {usage}\n```"]
    for kind in ("argument", "option"):
        records = [p.get_help_record(context) for p in command.params if p.param_type_name == kind]
        if rows := [record for record in records if record is not None]:  # hidden options have none
            lines = [(kind, "meaning"), ("---", "---"), *((f"`{names}`", meaning) for names, meaning in rows)]
            parts.append("\n".join(f"| {left} | {_escaped(right)} |" for left, right in lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def _escaped(text: str) -> str:
    """Return a help text as Markdown of a table's cell: names in capitals and defaults are literal."""
    return re.sub(r"([|*_<>\[\]])", r"\\\1", " ".join(text.split()))
