"""Command lines of `orchestrator` in shell scripts, parsed by the program itself without running a command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from orchestrator.campaign.config import CampaignConfig, load_config
from orchestrator.campaign.search_config import SearchConfig
from orchestrator.cli.app import app
from orchestrator.cli.options import _parsed, was_given
from workers.messages.fidelity import get_fidelity
from workers.messages.recipe import Recipe
from workers.spaces import get_space
from workers.spaces.opening import is_space_file

PROGRAM: Any = typer.main.get_command(app)
_MODELS = {"label": CampaignConfig, "prepare": CampaignConfig, "suggest": CampaignConfig, "search": SearchConfig}
_OPERATORS = {"&&", "||", ";", "|", "&", "do", "then"}


def commands(script: str) -> list[list[str]]:
    """Return the commands of a shell script as words, without comments, redirections and assignments."""
    joined = re.sub(r"\$\([^()]*\)", "SUBSTITUTED", script.replace("\\\n", " "))
    variables = re.findall(r"\bfor (\w+) in ([^\s;]+)", joined)  # a loop's first turn
    for name, value in [*variables, *re.findall(r'(?m)^(\w+)="([^"]*)"$', joined)]:
        joined = joined.replace(f"${name}", value)
    found = []
    for line in joined.split("\n"):
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=";&|")
        lexer.whitespace_split, lexer.commenters = True, ""
        words: list[str] = []
        for word in [*_words(lexer), ";"]:
            if word in _OPERATORS:
                found.append(words)
                words = []
            elif words or not re.fullmatch(r"[A-Za-z_]+=.*", word):
                words.append(word)
    return [words for words in found if words]


def _words(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("#"):
            return
        if word == ">":
            next(words)
        else:
            yield word


def orchestrator_arguments(words: list[str]) -> list[list[str]]:
    """Return the arguments of each call of `orchestrator` in a command: its own, submitted to Ray, or in quotes."""
    if words[0].rsplit("/", 1)[-1] == "orchestrator":
        return [words[1:]]
    for number, word in enumerate(words):
        if word == "cluster/submit.py" or (word == "--" and words[number + 1 : number + 2] == ["orchestrator"]):
            rest = words[number + 1 :]
            return [rest[1:] if rest[:1] in (["--"], ["orchestrator"]) else rest]
    return [found for word in words[1:] if " " in word for c in commands(word) for found in orchestrator_arguments(c)]


def parse(arguments: list[str]) -> Any:
    """Return the context of the command that the arguments name. Raises an error of click, or AIOPError.

    Options that come from a configuration model are checked by it, and the recipe is loaded.
    """
    program = PROGRAM.make_context("orchestrator", [], resilient_parsing=True)
    name, *rest = arguments
    command = PROGRAM.get_command(program, name)
    if command is None:
        raise ValueError(f"orchestrator {name}: no such command")
    at = next((n for n, word in enumerate(rest) if _is_group(command) and command.get_command(program, word)), None)
    context = command.make_context(name, rest[:at], parent=program)
    if at is not None:
        context = command.get_command(context, rest[at]).make_context(rest[at], rest[at + 1 :], parent=context)
    elif _is_group(command) and (left := [*getattr(context, "_protected_args", []), *context.args]):
        raise ValueError(f"orchestrator {name}: no such command: {left}")
    check_values(name, context)
    return context


def _is_group(command: Any) -> bool:
    return hasattr(command, "get_command")


def check_values(name: str, context: Any) -> None:
    """Check the options that come from a configuration model, and the recipe that they name."""
    model = _MODELS.get(name)
    if model is None:
        return
    given = {
        key: value for key, value in context.params.items() if key in model.model_fields and was_given(context, key)
    }
    if name == "suggest":
        given["choose"] = context.params["choose"]
    config = model.checked(**{**_from_file(context.params), **_parsed(model, given)})
    if config.num and not is_space_file(config.space):
        for task in config.task.split(","):
            load_recipe(config.fidelity, config.recipe, task, config.space, config.set)


def _from_file(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    path = parameters.get("config_file")
    return load_config(path) if path is not None and path.exists() else {"task": "seg"} if path else {}


def load_recipe(fidelity: str, which: str, task: str, space: str, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a command line. Raises AIOPError if a name or field does not exist."""
    get_space(space)
    return get_fidelity(fidelity).load(which, task, space, changes)


def all_options() -> set[str]:
    """Return the options of all commands."""
    found, waiting = {"--help"}, [PROGRAM]
    while waiting:
        command: Any = waiting.pop()
        found |= {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
        if _is_group(command):
            waiting += command.commands.values()
    return found
