"""Plan a campaign: turn a validated configuration into label requests, before any worker starts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.campaign.config import CampaignConfig
from orchestrator.errors import ConfigError
from workers.data import DataSet, open_data
from workers.messages.fidelity import get_fidelity
from workers.messages.label import LabelRequest
from workers.messages.recipe import Recipe
from workers.messages.shared_recipe import COMMON_FIELDS, SharedRecipe
from workers.spaces import Space, get_space, space_names
from workers.spaces.once_for_all import published_fingerprint
from workers.spaces.weights_file import body_fingerprint, pretrained_file
from workers.storage.spool import in_object_store
from workers.tasks import get_task
from workers.tasks.base import LogitTask


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """All requests of a campaign, in the order of their labels.

    audit: labels at fidelity full of the first of these architectures, with the same seeds, made after the others.
    """

    requests: tuple[LabelRequest, ...]
    audit: tuple[LabelRequest, ...]

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


def plan_campaign(config: CampaignConfig) -> CampaignPlan:
    """Check every name, file and field, then sample architectures. Raises AIOPError subclasses.

    The requests of a small campaign are the first ones of a larger campaign, so a larger number only adds labels.
    """
    task = get_task(config.task)
    for other in config.also:
        if other not in task.companions:
            companions = ", ".join(task.companions)
            remedy = f"choose from {companions}" if companions else "--also works only with --task pano"
            raise ConfigError(f"--also {other}: not available with --task {config.task}: {remedy}")
    space = get_space(config.space)
    fidelity = get_fidelity(config.fidelity)
    for option in ("also", "save_images"):
        if not fidelity.trains and getattr(config, option):
            raise ConfigError(
                f"--{option.replace('_', '-')}: an untrained network makes no predictions: use another fidelity"
            )
    data: DataSet = open_data(config.data, config.task)
    data.check(config.task)
    recipe = fidelity.load(config.recipe, config.task, config.space, config.set)
    if isinstance(recipe, SharedRecipe):
        recipe = _with_shared_weights(recipe, space, data.spec, config.store)
    else:
        recipe = _with_pretrained_file(recipe)
    vocabulary = data.vocabulary(config.task)
    # Wrong settings of the backbone or head raise an error here.
    backbone = space.build(next(space.sequence(0)), recipe.body)
    task.build_head(backbone.channels, backbone.strides, vocabulary, recipe.head)
    fingerprint = data.fingerprint()
    architectures = (
        space.stratified(config.seed, recipe.input_size, recipe.body)
        if config.sample == "stratified"
        else space.sequence(config.seed)
    )
    requests = tuple(
        LabelRequest(a, config.task, data.spec, fingerprint, config.fidelity, recipe, config.seed + r, config.also)
        for a in itertools.islice(architectures, config.num)
        for r in range(config.repeat)
    )
    if len(requests) < config.num * config.repeat:
        raise ConfigError(f"--num: space {config.space} has only {len(requests) // config.repeat} architectures")
    return CampaignPlan(requests, _audit(config, requests, recipe))


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
    supernet = weights.model_copy(update={"data": data.spec})
    return recipe.model_copy(update={"supernet": supernet, "supernet_fingerprint": data.fingerprint()})


def _audit(config: CampaignConfig, requests: tuple[LabelRequest, ...], recipe: Recipe) -> tuple[LabelRequest, ...]:
    """Requests for the first architectures at fidelity full, with the full recipe that `recipe` approximates."""
    if not config.audit:
        return ()
    full = recipe
    if isinstance(recipe, SharedRecipe):
        common = {name: config.set[name] for name in COMMON_FIELDS if name in config.set}
        full = get_fidelity("full").load(recipe.full, config.task, config.space, common)
    first = requests[: config.audit * config.repeat]
    return tuple(replace(request, fidelity="full", recipe=full, also=()) for request in first)
