"""Code in the documentation: commands are parsed, files are loaded, and Python runs."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.campaign.architectures_file import read_architectures
from orchestrator.campaign.config import CampaignConfig, load_config
from orchestrator.published.results_file import read_results
from orchestrator.store.delta import DeltaLabelStore
from tests.support.command_lines import PROGRAM, all_options, commands, orchestrator_arguments, parse
from tests.support.markdown_blocks import ROOT, Block, code_blocks, inline_code
from tests.support.store_reports import report
from workers.messages.recipe_files import load_recipe
from workers.spaces.declaration import read_declaration

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    if "decisions" not in path.parts and path.name != "CHANGELOG.md"
)
BLOCKS = [block for path in PAGES for block in code_blocks(path)]
OTHER_PROGRAMS = {"python3.11", "pip", "pytest", "pre-commit", "mkdocs", "ray", "export", "for", "done"}
# Options of other programs in the text: Ray, pip, mmdet, git and pytest.
OTHER_OPTIONS = {"--no-deps", "--cfg-options", "--cov", "--strict", "--no-wait"}


def of_kind(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and not block.not_run]


def test_every_block_is_run_parsed_or_marked() -> None:
    counts = Counter((block.language or "output", "not run" if block.not_run else "checked") for block in BLOCKS)
    for (language, how), count in sorted(counts.items()):
        print(f"{count} blocks of {language}: {how}")
    unknown = [str(b) for b in BLOCKS if b.language not in {"bash", "python", "yaml", "csv", "toml", "text", ""}]
    assert unknown == [], "blocks of a language that no test here checks: mark them `<!-- not run: REASON -->`"
    for block in BLOCKS:
        assert not (block.not_run and block.run_by), block
    assert len(of_kind("bash")) > 40
    assert len(of_kind("python")) >= 7


def test_blocks_that_another_test_runs_name_it() -> None:
    for block in BLOCKS:
        if block.run_by:
            assert block.path.name in (ROOT / block.run_by).read_text(), f"{block}: {block.run_by} does not read it"


@pytest.mark.parametrize("block", of_kind("bash", "", "text"), ids=str)
def test_commands(block: Block) -> None:
    for words in _commands(block):
        found = orchestrator_arguments(words)
        for arguments in found:
            parse([word.replace("SUBSTITUTED", "name") for word in arguments])
        program = words[0].rsplit("/", 1)[-1]
        assert found or program in OTHER_PROGRAMS, (
            f"{block}: {program}: unknown; mark the block if it cannot be checked"
        )
        _check_other(words, block)


def _commands(block: Block) -> Iterator[list[str]]:
    lines = block.text.splitlines(keepends=True)
    shown = block.text if block.language == "bash" else "".join(line for line in lines if line.startswith("$ "))
    yield from commands(shown)


def _check_other(words: list[str], block: Block) -> None:
    """Check the files of the repository and the extras of the package that a command of another program names."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        if word.startswith(("cluster/", "tests/")):
            assert (ROOT / word).exists(), f"{block}: {word} does not exist"
        if word.startswith(("aiop-orchestrator[", ".[")):
            assert set(word.split("[")[1].rstrip("]").split(",")) <= set(extras), f"{block}: {word}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("orchestrator labl --task seg", "labl: no such command"),
        ("orchestrator generations pn 3", "no such command"),
        ("orchestrator label --tasks seg", "--tasks"),
        ("orchestrator label --task seg --num three", "whole number"),
        ("orchestrator label --task seg --fidelity full --recipe 2x", "'2x'"),
        ("orchestrator label --task seg --set stops=5", "stops"),
        ("orchestrator label --task seg --space nasbench202", "'nasbench202'"),
        ("orchestrator search --task det --budget soon", "soon"),
        ("ray submit cluster/cluster.yaml cluster/submit.py -- label --task seg --nums 4", "--nums"),
        ("ray exec cluster/cluster.yaml 'ray job submit --no-wait -- orchestrator label --tasks seg'", "--tasks"),
    ],
)
def test_wrong_commands_are_found(line: str, message: str) -> None:
    ((arguments,),) = [orchestrator_arguments(words) for words in commands(line)]
    with pytest.raises(Exception, match=message):
        parse(arguments)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_in_the_text(path: Path) -> None:
    known = all_options()
    for span in inline_code(path):
        words = span.replace("[", " ").replace("]", " ").split()
        if not words or (words[0] != "orchestrator" and not span.startswith("--")):
            continue
        if words[0] == "orchestrator" and len(words) > 1:
            name = words[1].rstrip(",")
            assert PROGRAM.get_command(None, name) is not None, f"{span}: no such command"
        options = {word.split("=")[0].rstrip(",") for word in words if word.startswith("--") and word != "--"}
        assert options <= known | OTHER_OPTIONS, f"{span}: {options - known} of no command"


@pytest.mark.parametrize("block", of_kind("python"), ids=str)
def test_python(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(_without_shell(block.text), str(block), "exec")
    if block.run_by:
        return
    DeltaLabelStore(str(tmp_path / "labels")).commit([report()])
    monkeypatch.chdir(tmp_path)
    exec(code, {})


def _without_shell(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("!"))


@pytest.mark.parametrize("block", of_kind("yaml", "csv", "toml"), ids=str)
def test_files(block: Block, tmp_path: Path) -> None:
    path = tmp_path / f"example.{block.language}"
    path.write_text(block.text)
    if block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.language == "csv":
        if "metric" in block.text.splitlines()[0]:
            results, rejected = read_results(path)
            assert results
            assert not rejected
        else:
            assert read_architectures(path)
    elif "build" in (fields := yaml.safe_load(block.text)):
        assert read_declaration(path).name == fields["name"]
    elif "num" in fields:
        assert CampaignConfig.checked(**load_config(path)).task == fields["task"]
    else:
        assert load_recipe(str(path), fields.get("task", "iseg"), "nasbench201").head
