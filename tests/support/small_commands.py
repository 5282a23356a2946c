"""What makes a documented command small enough for a test, and which commands no test runs: data, with reasons."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tests.support.page_commands import PageCommand

# Tables are read from top to bottom. `where` is a regular expression for `PAGE:LINE: COMMAND`.


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for commands, and its reason."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Options(Rule):
    """Options in place of the same ones, else at the end; of `--set` and `--verify-set`, in place of the same field."""

    options: str = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Text(Rule):
    """A text of the command and what replaces it. In braces: `device` and `fetched`, which earlier commands printed."""

    old: str = field(kw_only=True)
    new: str = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Stopped(Rule):
    """Ctrl-C once stdout has a text."""

    text: str = field(kw_only=True)


RuleT = TypeVar("RuleT", bound=Rule)

NOT_RUN = (
    Rule(r": \S*python3\.11 -m venv", "another environment: the first step of .ci/run makes one"),
    Rule(r": \S*pip install", "needs a network: .ci/run installs the package with the extras of the tests"),
    Rule(r": \S*pytest$", "runs all tests, this one too: .ci/run does it"),
    Rule(r": ray (up|submit|exec) ", "needs a cluster: tests/cluster runs campaigns on one"),
    Rule(r": (export RAY_AUTH_MODE=token|ray get-auth-token)", "for a cluster: writes a token to the home directory"),
    Rule(r": orchestrator latency .*--device cuda", "needs a GPU"),
    Rule(r": orchestrator calibrate ", "needs eight fully trained networks: tests/orchestrator/cli/test_calibrate.py"),
)

_TINY = "--set steps=2 --set ema=0 --set batch=2 --set input_size=[64,64] --set train_images=8 --set eval_images=4"
_ONE_CORE = "--set cpus=1 --set gpus=0 --set memory_mb=0"
_TINY_SHARED = (
    "--set steps=2 --set ema=0 --set calibration_images=4 --set cpus=1 --set gpus=0 --set shared_head.steps=2 "
    "--set shared_head.calibration_images=4 --set shared_head.cpus=1 --set shared_head.gpus=0 "
    "--set supernet.steps=2 --set supernet.ema=0 --set supernet.batch=2 --set supernet.train_images=8 "
    "--set supernet.input_size=[64,64] --set supernet.precision=float32 --set supernet.cpus=1 --set supernet.gpus=0"
)
_SMALL_PREPARED = f"--set full=tiny-{{recipe}}-{{task}}.yaml {_TINY_SHARED}"
_PREPARED = "minutes of pre-training: two steps each of weights, head, fine-tune and full training"

SMALLER = (
    Options(r"orchestrator (label|search) ", "one training at a time on two cores", options="--workers 1"),
    Options(r"orchestrator (label (?!.*--architectures)|suggest |space check )", "two networks", options="--num 2"),
    Options(
        r"label .*--choose",
        "the second round has labels; tracing 500 networks takes a minute",
        options="--num 5 --pool 20",
    ),
    Options(r"suggest ", "tracing 500 networks takes a minute", options="--pool 20"),
    Options(r"(full-size/|use-published).*label ", "one network of the size of a ResNet-50", options="--num 1"),
    Options(r"label .*--audit ", "two full labels instead of a dozen", options="--audit 2"),
    Options(r"label .*--refresh-every ", "a refresh after one of two labels", options="--refresh-every 1"),
    Options(r"label .*--fidelity full", "two steps on few images, on one core", options=f"{_TINY} {_ONE_CORE}"),
    Options(r"label .*--recipe ade20k", "evaluation at the size of the training", options="--set eval_size=[64,64]"),
    Options(
        r"--space zoo .*--recipe (1x|ade20k|coco) ", "no network: random weights", options="--set body.pretrained=none"
    ),
    Options(
        r"label-cheaply.*label .*--(audit|set)",
        _PREPARED,
        options=_SMALL_PREPARED,
    ),
    Options(
        r"--space (mobilenetv3|zoo) ", "a stratified sample traces hundreds of networks", options="--sample uniform"
    ),
    Options(r"(label-your-data|examples/poses).*label ", _PREPARED, options=_SMALL_PREPARED),
    Options(r"label .*--data coco:lsp$", _PREPARED, options=_SMALL_PREPARED),
    Options(r"search ", "four labels", options="--budget '4 labels' --verify 1 --verify-seeds 2 --pool 20"),
    Options(r"search ", "two steps on few images", options=f"{_TINY} {_TINY.replace('--set', '--verify-set')}"),
    Options(r"examples/(blood-cells|poses).*search ", _PREPARED, options=_SMALL_PREPARED),
    Options(r"orchestrator import \S*\.csv", "traced in this process: no worker has to start", options="--jobs 1"),
    Options(r"evaluate ", "few labels, chosen once, in one process", options="--labels 0,4 --seeds 1 --jobs 1"),
    Options(r"evaluate --split task", "one model of a dozen", options="--model extra-trees"),
    Options(r"orchestrator latency ", "five runs of each network", options="--repeats 5 --warm-up 1 --seconds 5"),
    Options(
        r"orchestrator latency .*--task det",
        "a minute on a CPU at 800x1344",
        options="--input-size 64",
    ),
    Options(
        r"(refresh|report|status) --watch", "ended by Ctrl-C, as the page says, after an answer", options="--every 0.2"
    ),
)
REPLACED = (
    Text(r"generations compare", "the folder has two generations", old="3 7", new="1 2"),
    Text(r"generations pin", "the folder has two generations", old="3", new="2"),
    Text(
        r"predict .*--task latency",
        "the name of this machine",
        old="cpu:amd-epyc/threads1/batch1/fp32/eager",
        new="{device}",
    ),
    Text(r"=PATH", "the file that fetch-weights printed", old="PATH", new="{fetched}"),
)
# Commands whose subject is Ray, with its workers. All others train in the process of the test.
ON_RAY = (
    Rule(r"README\.md.*label ", "what everyone runs first"),
    Rule(r"label .*--(choose|refresh-every) ", "a refresh in the background is a process that joins this Ray"),
    Rule(r"orchestrator (train|refresh) ", "a run of Ray Train"),
    Rule(r"orchestrator status", "shows the cluster: without this Ray it would join another one of the machine"),
)
STOPPED_AFTER = (
    Stopped(r"refresh --watch", "it waits for more labels", text="decision"),
    Stopped(r"report --watch", "it waits for changes", text="report.html"),
    Stopped(r"status --watch", "it does not end by itself", text="Cluster"),
)


def matching(rules: Iterable[RuleT], command: PageCommand) -> RuleT | None:
    """Return the first rule for a command, None if there is none."""
    return next((rule for rule in rules if re.search(rule.where, str(command))), None)


def reason_not_to_run(command: PageCommand) -> str:
    """Return why a command is not run; an empty text if it is."""
    rule = matching(NOT_RUN, command)
    return rule.why if rule else ""


def small_words(command: PageCommand, printed: Mapping[str, str]) -> list[str]:
    """Return the arguments of `orchestrator` of the small command. printed: values of the names in braces."""
    words = list(command.words[1:])
    for rule in SMALLER:
        if re.search(rule.where, str(command)):
            given = shlex.split(rule.options)
            for name, value in zip(given[::2], given[1::2], strict=True):
                _set_option(words, name, value)
    line = shlex.join(words)
    for text in REPLACED:
        if re.search(text.where, str(command)):
            line = line.replace(text.old, text.new.format_map(printed))
    line = line.replace("{task}", _value(words, "--task", "")).replace("{recipe}", _value(words, "--recipe", "laptop"))
    return shlex.split(line)


def _value(words: list[str], option: str, default: str) -> str:
    return words[words.index(option) + 1] if option in words else default


def _set_option(words: list[str], name: str, value: str) -> None:
    """Replace the value of an option, or of a field of --set, or add it."""
    for number, word in enumerate(words[:-1]):
        same_field = not name.endswith("set") or words[number + 1].split("=")[0] == value.split("=")[0]
        if word == name and same_field:
            words[number + 1] = value
            return
    words += [name, value]
