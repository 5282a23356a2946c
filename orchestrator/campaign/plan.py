"""Plan a campaign: turn a validated configuration into label requests, before any worker starts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from orchestrator.campaign.architectures_file import read_architectures, require_buildable
from orchestrator.campaign.config import CampaignConfig
from orchestrator.errors import ConfigError
from workers.data import DataSet, open_data
from workers.messages.architecture import Architecture
from workers.messages.fidelity import get_fidelity
from workers.messages.label import LabelRequest
from workers.messages.recipe import Recipe
from workers.messages.shared_recipe import COMMON_FIELDS, SharedRecipe
from workers.spaces import Space, get_space, open_space, space_names
from workers.spaces.once_for_all import published_fingerprint
from workers.spaces.weights_file import body_fingerprint, pretrained_file
from workers.storage.spool import in_object_store
from workers.tasks import get_task
from workers.tasks.base import LogitTask

Config = TypeVar("Config", bound=CampaignConfig)


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """All requests of a campaign, in the order of their labels.

    audit: labels at fidelity full of the first of these architectures, with the same seeds, made after the others.
    """

    requests: tuple[LabelRequest, ...]
    audit: tuple[LabelRequest, ...]

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces of the architectures, in the order of their first label."""
        return tuple(dict.fromkeys(request.architecture.space for request in self.requests))

    @property
    def warning(self) -> str | None:
        """Return a one-line warning if shared weights are pre-trained on other images and no audit is planned."""
        first, recipe = self.requests[0], self.requests[0].recipe
        if not isinstance(recipe, SharedRecipe) or recipe.supernet.pretrained or self.audit:
            return None
        source = str(recipe.supernet.data)
        if source == first.data or {spec.partition(":")[0] for spec in (source, first.data)} == {"shapes"}:
            return None
        return (
            f"labels of {first.data} use shared weights that were pre-trained on {source} and may rank poorly: add "
            "--audit 12 to measure it, set supernet.data, or use --fidelity full"
        )


def with_space_name(config: Config) -> Config:
    """Return the configuration with the name of its space. If it names a YAML file, that space is declared.

    Raises UnknownNameError or SpaceError.
    """
    return config.model_copy(update={"space": open_space(config.space).name})


def plan_campaign(config: CampaignConfig) -> CampaignPlan:
    """Check every name, file and field, then read or sample architectures. Raises AIOPError subclasses.

    config: has the name of its space, see `with_space_name`.

    The requests of a small campaign are the first ones of a larger campaign, so a larger number only adds labels.
    """
    task = get_task(config.task)
    for other in config.also:
        if other not in task.companions:
            companions = ", ".join(task.companions)
            remedy = f"choose from {companions}" if companions else "--also works only with --task pano"
            raise ConfigError(f"--also {other}: not available with --task {config.task}: {remedy}")
    fidelity = get_fidelity(config.fidelity)
    for option in ("also", "save_images"):
        if not fidelity.trains and getattr(config, option):
            raise ConfigError(
                f"--{option.replace('_', '-')}: an untrained network makes no predictions: use another fidelity"
            )
    data: DataSet = open_data(config.data, config.task)
    data.check(config.task)
    task.check_data(data)
    given = read_architectures(Path(config.architectures)) if config.architectures else ()
    spaces = {architecture.space: architecture for architecture in given}
    if samples(config):
        spaces.setdefault(config.space, next(get_space(config.space).sequence(0)))
    recipes = {name: _load_recipe(config, get_space(name), data) for name in spaces}
    require_buildable(given, {name: recipe.body for name, recipe in recipes.items()}, config.architectures)
    for name, first in spaces.items():
        _check_settings(recipes[name], first, data)
        if config.latency == "cuda" and not recipes[name].gpus:
            raise ConfigError("--latency cuda: workers of this recipe have no GPU: add --set gpus=1")
    architectures = dict.fromkeys([*given, *(_sampled(config, recipes[config.space]) if samples(config) else ())])
    fingerprint = data.fingerprint()
    requests = tuple(
        LabelRequest(
            a, config.task, data.spec, fingerprint, config.fidelity, recipes[a.space], config.seed + r, config.also
        )
        for a in architectures
        for r in range(config.repeat)
    )
    return CampaignPlan(requests, _audit(config, requests))


def plan_template(config: CampaignConfig) -> LabelRequest:
    """Check every name, file and field; return a request of any architecture of the space. Raises AIOPError subclasses.

    For campaigns that choose in rounds: all their requests differ from it in architecture, seed and reason only.
    """
    one = {"num": 1, "repeat": 1, "choose": "random"}
    return plan_campaign(config.model_copy(update=one)).requests[0]


def samples(config: CampaignConfig) -> bool:
    """Return whether a campaign samples architectures: unless a file gives them and --num does not ask for more."""
    return not config.architectures or "num" in config.model_fields_set


def _load_recipe(config: CampaignConfig, space: Space, data: DataSet) -> Recipe:
    recipe = get_fidelity(config.fidelity).load(config.recipe, config.task, space.name, config.set)
    if isinstance(recipe, SharedRecipe):
        return _with_shared_weights(recipe, space, data.spec, config.store)
    return _with_pretrained_file(recipe)


def _check_settings(recipe: Recipe, architecture: Architecture, data: DataSet) -> None:
    """Build an architecture's backbone and head. Raises RecipeError for wrong settings of either."""
    backbone, task = get_space(architecture.space).build(architecture, recipe.body), get_task(recipe.task)
    task.build_head(backbone.channels, backbone.strides, data.vocabulary(task.name), recipe.head)


def _sampled(config: CampaignConfig, recipe: Recipe) -> list[Architecture]:
    """Return the sampled architectures. Raises ConfigError if the space has too few."""
    space = get_space(config.space)
    stratified = config.sample == "stratified" and config.choose != "random"
    draws = space.stratified(config.seed, recipe.input_size, recipe.body) if stratified else space.sequence(config.seed)
    architectures = list(itertools.islice(draws, config.num))
    if len(architectures) < config.num:
        raise ConfigError(f"--num: space {config.space} has only {len(architectures)} architectures")
    return architectures


def _with_pretrained_file(recipe: Recipe) -> Recipe:
    """Return the recipe with the fingerprint and the absolute path of the file that `body.pretrained` names, if any."""
    path = pretrained_file(recipe.body)
    if path is None:
        return recipe.model_copy(update={"body_fingerprint": ""})
    body = recipe.body | {"pretrained": str(path.absolute())}
    return recipe.model_copy(update={"body": body, "body_fingerprint": body_fingerprint(body)})


def _with_shared_weights(recipe: SharedRecipe, space: Space, label_data: str, store: str) -> SharedRecipe:
    """Check the settings of the shared weights, and return the recipe with their training data and its fingerprint.

    label_data: the data set of the labels. Published weights have the fingerprint of their file.
    """
    if not space.covering_architectures():
        suitable = ", ".join(name for name in space_names() if get_space(name).covering_architectures())
        raise ConfigError(
            f"--space {space.name}: its networks share no weights: use --fidelity full, or one of {suitable}"
        )
    if recipe.body.get("pretrained", "none") != "none":
        raise ConfigError(
            "--set body.pretrained: is for --fidelity full: shared weights come from a file by --set "
            "supernet.pretrained=FILE"
        )
    weights = recipe.supernet
    if not isinstance(get_task(weights.task), LogitTask):
        raise ConfigError(
            f"recipe {weights.name}: task {weights.task} cannot train shared weights: set supernet.task to cls or seg"
        )
    if weights.workers > 1 and in_object_store(store):
        raise ConfigError(
            f"--set supernet.workers={weights.workers}: several workers need a store in a shared folder, and --store "
            f"{store} is not a folder: set it to 1, or choose a folder"
        )
    if weights.pretrained is not None:
        fingerprint = published_fingerprint(Path(weights.pretrained), space, recipe.body)
        return recipe.model_copy(update={"supernet_fingerprint": fingerprint})
    default = label_data if weights.task == recipe.task else "shapes"
    data = open_data(weights.data or default, weights.task)
    data.check(weights.task)
    get_task(weights.task).check_data(data)
    supernet = weights.model_copy(update={"data": data.spec})
    return recipe.model_copy(update={"supernet": supernet, "supernet_fingerprint": data.fingerprint()})


def _audit(config: CampaignConfig, requests: tuple[LabelRequest, ...]) -> tuple[LabelRequest, ...]:
    """Requests for the first architectures at fidelity full, with the full recipe that each recipe approximates."""
    if not config.audit:
        return ()
    full: dict[str, Recipe] = {}
    for request in requests:
        recipe, space = request.recipe, request.architecture.space
        if isinstance(recipe, SharedRecipe) and space not in full:
            common = {name: config.set[name] for name in COMMON_FIELDS if name in config.set}
            full[space] = get_fidelity("full").load(recipe.full, config.task, space, common)
    first = requests[: config.audit * config.repeat]
    return tuple(
        replace(request, fidelity="full", recipe=full.get(request.architecture.space, request.recipe), also=())
        for request in first
    )
