"""Learning rates: those of old recipes, and those of OpenMMLab's trainings against its own schedulers."""

import math
from typing import Any

import pytest
import torch
from mmengine.optim.scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, PolyLR
from torch import nn

from workers.messages.recipe import Recipe
from workers.training.schedules import lr_factor

STEPS = 60


def recipe(**fields: Any) -> Recipe:
    return Recipe(name="r", task="seg", ema=0, **({"steps": STEPS} | fields))


def mmengine_rates(lr: float, *schedules: tuple[type, dict[str, Any]]) -> list[float]:
    """Learning rates of each step under mmengine's schedulers, which multiply what they find."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedulers = [kind(optimizer, by_epoch=False, **settings) for kind, settings in schedules]
    rates = []
    for _ in range(STEPS):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


WARMUP = (LinearLR, {"start_factor": 0.001, "begin": 0, "end": 10})


DROPS = {"schedule": "milestones", "milestones": [8 / 12, 11 / 12]}
MULTI_STEP = (MultiStepLR, {"milestones": [40, 55], "gamma": 0.1, "begin": 0, "end": STEPS})
RISE = {"warmup_steps": 10, "warmup_start": 0.001}
NO_RISE = {"warmup_steps": 0, "warmup_start": 1.0}


@pytest.mark.parametrize(
    ("fields", "schedules"),
    [
        (NO_RISE | {"schedule": "constant"}, []),
        (RISE | {"schedule": "constant"}, [WARMUP]),
        (NO_RISE | DROPS, [MULTI_STEP]),
        (RISE | DROPS, [WARMUP, MULTI_STEP]),
        (
            NO_RISE | {"schedule": "poly", "power": 0.9, "final_lr": 0.01},
            [(PolyLR, {"power": 0.9, "eta_min": 1e-4, "begin": 0, "end": STEPS})],
        ),
    ],
)
def test_rates_are_those_of_mmengine(fields: dict[str, Any], schedules: list[Any]) -> None:
    own = recipe(lr=0.01, **fields)
    expected = mmengine_rates(0.01, *schedules)
    assert [own.lr * lr_factor(step, own) for step in range(STEPS)] == pytest.approx(expected, rel=1e-9)


def test_a_cosine_ends_at_its_last_rate() -> None:
    own = recipe(warmup_steps=0, warmup_start=1.0, final_lr=0.05)
    expected = mmengine_rates(own.lr, (CosineAnnealingLR, {"eta_min": 0.05 * own.lr, "T_max": STEPS - 1, "end": STEPS}))
    assert [own.lr * lr_factor(step, own) for step in range(STEPS)] == pytest.approx(expected, rel=1e-9)


def test_old_recipes_warm_up_first_and_then_fall() -> None:
    own = recipe(warmup=0.1)
    assert [lr_factor(step, own) for step in range(6)] == pytest.approx([(n + 1) / 6 for n in range(6)])
    assert lr_factor(6, own) == 1.0
    assert lr_factor(STEPS - 1, own) == pytest.approx((1 + math.cos(math.pi * 53 / 54)) / 2)


def test_a_warm_up_longer_than_the_training_never_reaches_the_peak() -> None:
    own = recipe(schedule="constant", warmup_steps=500, warmup_start=0.001)
    assert lr_factor(STEPS - 1, own) == pytest.approx(0.001 + 0.999 * 59 / 499)
