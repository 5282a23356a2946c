"""Options: those of `label` come from its configuration; old spellings still work and say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from orchestrator.campaign.config import CampaignConfig
from orchestrator.cli.app import app
from orchestrator.cli.options import parse_input_size
from orchestrator.errors import ConfigError
from tests.support.exit_codes import exit_code

COMMANDS = typer.main.get_group(app).commands


def options(command: str) -> dict[str, Any]:
    return {parameter.opts[0]: parameter for parameter in COMMANDS[command].params}


@pytest.mark.parametrize("name", CampaignConfig.model_fields)
def test_label_takes_option_default_and_help_from_the_configuration(name: str) -> None:
    field, option = CampaignConfig.model_fields[name], options("label")[f"--{name.replace('_', '-')}"]
    assert option.help == field.description
    if not field.is_required() and name not in ("set", "also"):
        assert option.default == field.default


def test_prepare_has_some_of_them() -> None:
    own = {"--without-shipped", "--json", "--help"}
    assert options("prepare").keys() - own == {"--task", "--space", "--data", "--recipe", "--set", "--store"}


@pytest.mark.parametrize("command", ["train", "refresh", "predict", "status", "label"])
def test_the_folder_of_generations_is_called_predictors(command: str) -> None:
    assert "--predictors" in options(command)
    for old in ("--out", "--predictor"):
        assert old not in options(command) or options(command)[old].hidden


@pytest.mark.parametrize(
    ("text", "size"), [("224", (3, 224, 224)), ("800x1333", (3, 800, 1333)), ("1x28x28", (1, 28, 28))]
)
def test_input_sizes_that_trace_takes(text: str, size: tuple[int, int, int]) -> None:
    assert parse_input_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "x", "3x", "0x28x28", "1x2x3x4", "-3x28x28", "2²", "a"])
def test_other_input_sizes_are_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--input-size .*: write SIDE, HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH"):
        parse_input_size(text)


@pytest.mark.parametrize(
    ("arguments", "old", "new"),
    [
        (["generations", "--out", "nowhere", "--json"], "--out", "--predictors"),
        (["generations", "list", "--out", "nowhere", "--json"], "--out", "--predictors"),
        (["predict", "timm:resnet18", "--task", "seg", "--predictor", "nowhere"], "--predictor", "--predictors"),
        (["train", "--store", "nowhere", "--out", "nowhere"], "--out", "--predictors"),
        (["refresh", "--store", "nowhere", "--out", "nowhere"], "--out", "--predictors"),
    ],
)
def test_an_old_spelling_works_and_says_so(
    arguments: list[str],
    old: str,
    new: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code(monkeypatch, *arguments)
    printed = capsys.readouterr()
    assert f"{old} is deprecated and will be removed in version 0.3: use {new}" in printed.err
    assert "No such option" not in printed.err
    if "--json" in arguments:
        assert json.loads(printed.out) == []
