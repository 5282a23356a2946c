"""Studies of the spaces that come with the package."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import ConfigError
from orchestrator.search import create_study, surrogate
from predictor.errors import AIOPError
from workers.spaces import get_space


def test_a_study_profiles_the_space_and_takes_the_largest_as_reference(tmp_path: Path) -> None:
    opened = create_study("seg", max_flops="60%", pool=12, predictors=tmp_path)
    study, costs = opened.study, [opened.study.networks.cost(a) for a in opened.study.sample()]
    most = max(cost.flops for cost in costs)
    assert study.networks.cost(opened.reference).flops == opened.profile.ranges["flops"].most == most
    assert study.settings.limits == {"flops": pytest.approx(0.6 * most)}
    assert opened.profile.within == sum(cost.flops <= 0.6 * most for cost in costs) / 12
    assert all(choice.flops <= 0.6 * most for choice in study.ask(4))


def test_networks_that_compute_the_same_are_asked_for_once(tmp_path: Path) -> None:
    space = get_space("nasbench201")
    dead = [["none", other, "none", "nor_conv_3x3", "nor_conv_1x1", "none"] for other in ("none", "skip_connect")]
    study = create_study("seg", pool=4, predictors=tmp_path).study
    first, second = (space.architecture({"ops": ops}) for ops in dead)
    assert study.networks.add([first, second]) == [first, second]
    assert study.networks.function(first) == study.networks.function(second)
    different = space.architecture({"ops": ["none", "none", "none", "nor_conv_1x1", "nor_conv_1x1", "none"]})
    study.networks.add([different])
    assert study.networks.function(different) != study.networks.function(first)


def test_the_example_of_the_guide_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    guide = Path(__file__).parents[3] / "docs" / "howto" / "search.md"
    (example,) = (part.split("```")[0] for part in guide.read_text().split("```python")[1:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surrogate, "shipped", SimpleNamespace(FOLDER=tmp_path / "nothing"))  # it takes seconds to load
    names: dict[str, Any] = {}
    exec(example.replace("pool=40", "pool=12").replace("< 16", "< 12"), names)
    assert len(names["study"].found()) == 12
    assert names["study"].front()


def test_held_places_and_several_tasks(tmp_path: Path) -> None:
    study = create_study(
        "seg, cls", pool=6, hold={"ops.5": "nor_conv_1x1"}, weights=(2.0, 1.0), predictors=tmp_path
    ).study
    assert study.tasks == ("seg", "cls")
    assert all(choice.architecture.values["ops"][5] == "nor_conv_1x1" for choice in study.ask(3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_flops": "10K"}, "no network of space nasbench201 found that small"),
        ({"max_params": "1%"}, "no network of space nasbench201 found that small"),
        ({"max_flops": "fast"}, "--max-flops 'fast'"),
        ({"space": "nasbench999"}, "nasbench999"),
        ({"task": "sing"}, "sing"),
        ({"data": "coco:nowhere"}, "nowhere"),
        ({"hold": {"ops.9": "none"}}, "choose from"),
    ],
)
def test_what_cannot_be_searched_is_refused(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(AIOPError, match=message) as caught:
        create_study(**({"task": "seg", "pool": 4, "predictors": tmp_path} | fields))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_reference_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    wrong = get_space("nasbench201").architecture({"ops": ["nothing"]})
    with pytest.raises(ConfigError, match="cannot be traced"):
        create_study("seg", pool=4, reference=wrong, predictors=tmp_path)
