"""From a validated configuration to the requests of a campaign. No worker has started yet."""

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
from workers.messages.shared_recipe import COMMON, SharedRecipe
from workers.spaces import Space, get_space, space_names
from workers.storage.spool import in_object_store
from workers.supernet.once_for_all import published_fingerprint
from workers.tasks import get_task
from workers.tasks.base import LogitTask


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """All requests of a campaign, in the order in which they are to be made.

    audit: labels at fidelity full of some of the same architectures and seeds, made after the others.
    """

    requests: tuple[LabelRequest, ...]
    audit: tuple[LabelRequest, ...]

    @property
    def warning(self) -> str | None:
        """One line where labels may tell little: shared weights that learnt from other images, and no audit."""
        first, recipe = self.requests[0], self.requests[0].recipe
        if not isinstance(recipe, SharedRecipe) or recipe.supernet.pretrained or self.audit:
            return None
        taught = str(recipe.supernet.data)
        if taught == first.data or {spec.partition(":")[0] for spec in (taught, first.data)} == {"shapes"}:
            return None
        return (
            f"labels of {first.data} start from weights that learnt from {taught}, and may rank poorly: add "
            "--audit 12 to see, set supernet.data, or use --fidelity full"
        )


def plan_campaign(config: CampaignConfig) -> CampaignPlan:
    """Check every name, file and field, then sample. Raises AIOPError subclasses.

    A longer campaign begins with the requests of a shorter one, so asking for more adds to what is there.
    """
    task = get_task(config.task)
    for other in config.also:
        if other not in task.companions:
            known = f"choose from {', '.join(task.companions)}" if task.companions else "only pano has companions"
            raise ConfigError(f"--also {other}: training for {config.task} does not answer it: {known}")
    space = get_space(config.space)
    fidelity = get_fidelity(config.fidelity)
    for option in ("also", "save_images"):
        if not fidelity.trains and getattr(config, option):
            raise ConfigError(
                f"--{option.replace('_', '-')}: an untrained network predicts nothing: use another fidelity"
            )
    data: DataSet = open_data(config.data, config.task)
    data.check(config.task)
    recipe = fidelity.load(config.recipe, config.task, config.space, config.set)
    if isinstance(recipe, SharedRecipe):
        recipe = _with_shared_weights(recipe, space, data.spec, config.store)
    vocabulary = data.vocabulary(config.task)
    body = space.build(next(space.sequence(0)), recipe.body)  # a wrong body or head setting shows here
    task.build_head(body.channels, body.strides, vocabulary, recipe.head)
    fingerprint = data.fingerprint()
    draws = (
        space.stratified(config.seed, recipe.input_size, recipe.body)
        if config.sample == "stratified"
        else space.sequence(config.seed)
    )
    requests = tuple(
        LabelRequest(a, config.task, data.spec, fingerprint, config.fidelity, recipe, config.seed + r, config.also)
        for a in itertools.islice(draws, config.num)
        for r in range(config.repeat)
    )
    if len(requests) < config.num * config.repeat:
        raise ConfigError(f"--num: space {config.space} has only {len(requests) // config.repeat} architectures")
    return CampaignPlan(requests, _audit(config, requests, recipe))


def _with_shared_weights(recipe: SharedRecipe, space: Space, labelled: str, store: str) -> SharedRecipe:
    """The recipe with what its supernet comes from and the fingerprint of that, once it and the space are checked.

    labelled: the data set of the labels.
    """
    if not space.covering():
        able = ", ".join(name for name in space_names() if get_space(name).covering())
        raise ConfigError(f"--space {space.name}: its networks share no weights: use --fidelity full, or one of {able}")
    weights = recipe.supernet
    if not isinstance(get_task(weights.task), LogitTask):
        raise ConfigError(
            f"recipe {weights.name}: task {weights.task} cannot train shared weights: set supernet.task to cls or seg"
        )
    if weights.workers > 1 and in_object_store(store):
        raise ConfigError(
            f"--set supernet.workers={weights.workers}: they train into a folder that all reach, and --store {store} "
            "is none: leave it at 1, or name a folder"
        )
    if weights.pretrained is not None:
        fingerprint = published_fingerprint(Path(weights.pretrained), space, recipe.body)
        return recipe.model_copy(update={"supernet_fingerprint": fingerprint})
    unset = labelled if weights.task == recipe.task else "shapes"
    data = open_data(weights.data or unset, weights.task)
    data.check(weights.task)
    taught = weights.model_copy(update={"data": data.spec})
    return recipe.model_copy(update={"supernet": taught, "supernet_fingerprint": data.fingerprint()})


def _audit(config: CampaignConfig, requests: tuple[LabelRequest, ...], recipe: Recipe) -> tuple[LabelRequest, ...]:
    """The first architectures once more, at fidelity full: by the recipe that `recipe` stands in for."""
    if not config.audit:
        return ()
    full = recipe
    if isinstance(recipe, SharedRecipe):
        common = {name: config.set[name] for name in COMMON if name in config.set}
        full = get_fidelity("full").load(recipe.full, config.task, config.space, common)
    first = requests[: config.audit * config.repeat]
    return tuple(replace(request, fidelity="full", recipe=full, also=()) for request in first)
