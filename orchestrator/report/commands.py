"""The commands that make a group of labels again."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from orchestrator.report.comparable import ComparableLabels
from predictor.errors import AIOPError
from workers.messages.calibrated_recipe import FIDELITY as CALIBRATED
from workers.messages.fidelity import get_fidelity
from workers.messages.measured_recipe import FIDELITY as MEASURED
from workers.messages.published_recipe import FIDELITY as PUBLISHED
from workers.messages.recipe import Recipe
from workers.spaces import get_space

_MAX_SAMPLED = 512  # checking whether more were sampled would take too long
# What a campaign fills in from its data and files, or what does not change a label.
_FILLED_IN = frozenset({"pipeline", "body_fingerprint", "supernet_fingerprint", "full"})
_PARTS = ("body", "head", "supernet", "shared_head")


def reproducing_command(group: ComparableLabels, store: str) -> str:
    """Return command lines that make the labels of a group in an empty store.

    A sample is named by its number and seed if these give the group's networks; otherwise a file lists the networks.
    """
    if group.fidelity == PUBLISHED:
        return _line(["orchestrator", "import", "FILE.csv", "--store", store])
    recipe = json.loads(group.recipe)
    if group.fidelity == MEASURED:
        return (
            _line(["orchestrator", "latency", "MODEL", "--store", store]) + "  # or `label --latency` with the labels"
        )
    if group.fidelity == CALIBRATED:
        where = ["--task", group.task, "--space", group.space, "--data", group.data, "--store", store]
        return _line(["orchestrator", "calibrate", *where])
    task = str(recipe["task"])
    command = ["orchestrator", "label", "--task", task, *([] if task == group.task else ["--also", group.task])]
    options = _recipe_options(group)
    if options is None:
        return "# no options of this version give the recipe below"
    command += ["--space", group.space, "--data", group.data, "--fidelity", group.fidelity, *options]
    seeds = group.seeds
    command += ["--seed", str(seeds[0]), "--repeat", str(seeds[-1] - seeds[0] + 1), "--store", store]
    networks = frozenset(network.architecture for network in group.networks)
    sampling = _sampling(group.space, seeds[0], networks, tuple(recipe["input_size"]), json.dumps(recipe["body"]))
    if sampling is not None:
        return _line([*command, "--num", str(len(networks)), *sampling])
    listed = ["orchestrator", "labels", "--store", store, "--task", group.task, "--space", group.space]
    lines = _line([*listed, "--data", group.data, "--out", "networks.csv"])
    return f"{lines}\n{_line([*command, '--architectures', 'networks.csv'])}"


def _line(words: list[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)


def _recipe_options(group: ComparableLabels) -> list[str] | None:
    """Return --recipe and --set; a file if the recipe is not one of the package with other fields.

    None if a file cannot hold it: that of a recipe with shared weights names another file for these.
    """
    stored = json.loads(group.recipe)
    tier = group.recipe_name.removeprefix(f"{stored['task']}.").removesuffix(".shared")
    fidelity = get_fidelity(group.fidelity)
    try:
        known = fidelity.load(tier, stored["task"], group.space, None) if _is_tier(tier) else None
        overrides = None if known is None else _differences(known.model_dump(mode="json"), stored)
        if overrides is not None and "supernet" in stored:
            overrides |= _data_of_shared_weights(group, stored)
        if known is not None and overrides is not None:
            given = fidelity.load(tier, stored["task"], group.space, _nested(overrides))
            if _filled_in(given, stored).hash == group.recipe_hash:
                pairs = [f"{name}={json.dumps(value)}" for name, value in overrides.items()]
                return ["--recipe", tier, *itertools.chain.from_iterable(("--set", pair) for pair in pairs)]
    except (AIOPError, ValueError):
        pass  # the tier of that name is another one today
    return None if group.fidelity == "shared" else ["--recipe", "recipe.yaml"]


def _data_of_shared_weights(group: ComparableLabels, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data set of the shared weights, as --set names it, if it is not the one that is used by default."""
    weights = stored["supernet"]
    default = group.data if weights["task"] == stored["task"] else "shapes"
    return {} if weights["data"] in (None, default) else {"supernet.data": weights["data"]}


def _is_tier(name: str) -> bool:
    return name.replace("-", "").replace("_", "").isalnum()


def _differences(known: Mapping[str, Any], stored: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields of `stored` that differ, as --set names them."""
    found: dict[str, Any] = {}
    for name, value in stored.items():
        before = known.get(name)
        if name in _FILLED_IN or value == before or (prefix == "supernet." and name == "data"):
            continue
        if name in _PARTS and not prefix and isinstance(value, Mapping) and isinstance(before, Mapping):
            found |= _differences(before, value, f"{name}.")
        else:
            found[prefix + name] = value
    common = {f"{part}.{field}" for part in ("supernet", "shared_head") for field in ("body", "head", "input_size")}
    return {name: value for name, value in found.items() if name not in common}


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in overrides.items():
        part, dot, field = name.partition(".")
        if dot:
            fields.setdefault(part, {})[field] = value
        else:
            fields[name] = value
    return fields


def _filled_in(recipe: Recipe, stored: Mapping[str, Any]) -> Recipe:
    """Return the recipe with what a campaign fills in."""
    return recipe.model_copy(
        update={name: stored[name] for name in _FILLED_IN & stored.keys() if name in type(recipe).model_fields}
    )


@lru_cache(maxsize=64)
def _sampling(
    space: str, seed: int, networks: frozenset[str], input_size: tuple[int, int], body: str
) -> tuple[str, ...] | None:
    """Return the options that sample exactly these networks of a space, or None."""
    if len(networks) > _MAX_SAMPLED:
        return None
    try:
        found = get_space(space)
        draws = {
            (): found.stratified(seed, input_size, json.loads(body)),
            ("--sample", "uniform"): found.sequence(seed),
        }
        for options, sequence in draws.items():
            if {architecture.id for architecture in itertools.islice(sequence, len(networks))} == networks:
                return options
    except AIOPError:
        pass  # a space of the user's that is not declared here, or settings that it no longer has
    return None
