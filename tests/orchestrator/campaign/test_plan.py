"""The requests that a campaign plans, before any worker starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.plan import plan_campaign, plan_template
from orchestrator.errors import ConfigError
from tests.support.once_for_all_files import FILES
from workers.errors import RecipeError
from workers.messages.label import LabelRequest
from workers.messages.shared_recipe import SharedRecipe


def _plan(**fields: object):
    return plan_campaign(CampaignConfig.checked(**({"task": "seg", "num": 2, "audit": 2} | fields)))


def test_an_audit_of_proxies_uses_their_recipe() -> None:
    plan = _plan(fidelity="proxy", set={"steps": 120, "body": {"cells": 2}})
    assert [r.fidelity for r in plan.audit] == ["full", "full"]
    assert [r.recipe for r in plan.audit] == [r.recipe for r in plan.requests]
    assert plan.audit[0].recipe.steps == 120


def test_an_audit_of_a_fine_tune_uses_the_full_recipe() -> None:
    plan = _plan(fidelity="shared", set={"steps": 120, "head": {"width": 8}})
    full, shared = plan.audit[0].recipe, plan.requests[0].recipe
    assert shared.steps == 120
    assert full.steps > 120  # the number of fine-tuning steps does not apply to full labels
    assert full.head == shared.head == {"width": 8}


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    for part in ("train", "val"):
        for folder, pixels in (("images", np.zeros((8, 8, 3), np.uint8)), ("annotations", np.eye(8, dtype=np.uint8))):
            directory = tmp_path / folder / part
            directory.mkdir(parents=True)
            Image.fromarray(pixels).save(directory / "one.png")
    return f"masks:{tmp_path}"


def test_weights_are_pre_trained_on_the_images_of_the_labels_if_the_task_is_the_same(photographs: str) -> None:
    def source(**fields: object) -> tuple[str, str]:
        recipe = _plan(**fields).requests[0].recipe
        return recipe.supernet.task, recipe.supernet.data

    assert source(data=photographs) == ("seg", photographs)
    assert source(data=photographs, set={"supernet": "cls.laptop"}) == ("cls", "shapes")
    assert source(data=photographs, set={"supernet": {"data": "shapes:train=9"}}) == ("seg", "shapes:train=9")
    assert source(task="pose", data="shapes:train=9") == ("cls", "shapes")


def test_weights_from_other_images_give_a_warning_without_an_audit(photographs: str) -> None:
    other = {"supernet": "cls.laptop"}
    warning = _plan(data=photographs, set=other, audit=0).warning
    assert warning is not None
    assert f"labels of {photographs} use shared weights that were pre-trained on shapes" in warning
    assert _plan(data=photographs, set=other, audit=2).warning is None
    assert _plan(data=photographs, audit=0).warning is None
    assert _plan(data=photographs, audit=0, fidelity="full").warning is None
    assert _plan(data="shapes:train=9", set=other, audit=0).warning is None
    assert _plan(data="shapes", set=other, audit=0).warning is None


def test_several_supernet_workers_need_a_shared_folder() -> None:
    with pytest.raises(
        ConfigError, match=r"^--set supernet\.workers=2: several workers need a store in a shared folder"
    ):
        _plan(store="s3://bucket/labels", set={"supernet": {"workers": 2}})


class TestPretrainedBackbones:
    def request(self, **fields: object) -> LabelRequest:
        plan = _plan(space="mobilenetv3", fidelity="full", audit=0, num=1, sample="uniform", **fields)
        return plan.requests[0]

    def key(self, path: Path) -> str:
        body = {"width": 1.0, "pretrained": str(path)}
        return self.request(set={"body": body}).key

    def test_the_key_depends_on_the_content_of_the_file_and_not_on_its_path(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
        tensors = FILES["mobilenetv3"][0]()
        for path in (one, two):
            save_file(tensors, path)
        first = self.key(one)
        assert self.key(two) == first
        save_file({**tensors, "first_conv.bn.bias": tensors["first_conv.bn.bias"] + 1}, one)
        assert self.key(one) != first

    def test_recipes_without_a_file_have_no_fingerprint(self) -> None:
        plain = self.request().recipe
        assert plain.body_fingerprint == ""
        assert "pretrained" not in plain.body

    def test_shared_labels_take_their_file_from_another_field(self) -> None:
        with pytest.raises(ConfigError, match=r"supernet\.pretrained=FILE"):
            _plan(space="mobilenetv3", fidelity="shared", set={"body": {"pretrained": "w.safetensors"}})

    def test_a_file_that_does_not_fit_is_refused_before_any_worker_starts(self, tmp_path: Path) -> None:
        save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
        with pytest.raises(RecipeError, match=r"has no 'first_conv\.conv\.weight'"):
            self.key(tmp_path / "w.safetensors")


@pytest.mark.parametrize("task", ["cls", "det", "iseg", "pano", "pose", "seg"])
@pytest.mark.parametrize("options", [{"recipe": "gpu"}, {"set": {"full": "gpu"}}], ids=["recipe", "full"])
def test_a_campaign_on_a_gpu_is_planned(task: str, options: dict[str, Any], tmp_path: Path) -> None:
    config = CampaignConfig(task=task, num=1, audit=1, sample="uniform", store=str(tmp_path), **options)
    plan = plan_campaign(config)
    recipe, full = plan.requests[0].recipe, plan.audit[0].recipe
    assert isinstance(recipe, SharedRecipe)
    assert full.name == f"{task}.gpu"
    assert recipe.steps < full.steps / 5
    assert recipe.gpus == full.gpus > 0
    assert recipe.shared_head.precision == full.precision
    assert recipe.shared_head.gpus > 0
    assert (recipe.supernet.gpus > 0) == ("recipe" in options)


def test_choose_random_is_a_uniform_sample() -> None:
    fields = {"task": "seg", "fidelity": "full", "num": 5}
    chosen = plan_campaign(CampaignConfig.checked(**fields, choose="random"))
    assert chosen == plan_campaign(CampaignConfig.checked(**fields, sample="uniform"))
    assert chosen != plan_campaign(CampaignConfig.checked(**fields))


def test_the_template_of_rounds_differs_in_architecture_only() -> None:
    rounds = plan_template(CampaignConfig.checked(task="seg", fidelity="full", choose="both", num=5, seed=3))
    sampled = plan_campaign(CampaignConfig.checked(task="seg", fidelity="full", num=5, seed=3)).requests
    assert [replace(request, architecture=rounds.architecture) for request in sampled] == [rounds] * 5
