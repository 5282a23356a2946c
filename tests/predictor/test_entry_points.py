"""Models of other packages are found by entry points; a broken package is skipped with a warning."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from predictor import entry_points
from predictor.entry_points import MODELS, ExtensionWarning, NameTakenError
from predictor.models import ModelError, base, get_model, model_names
from predictor.models.baselines import LogFlops
from tests.support.extension_package import install_extension, isolate_registry

MODEL = """
from predictor.models.base import register
from predictor.models.baselines import LogFlops

@register
class Mine(LogFlops):
    name = "{name}"
"""


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_registry(base, "_MODELS", monkeypatch)


def test_a_model_of_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_extension(tmp_path, MODELS, MODEL.format(name="mine"), monkeypatch)
    assert get_model("mine").__module__ == "my_extension"
    assert model_names()[-1] == "mine"


def test_entry_points_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = list[str]()

    def fake(*, group: str) -> tuple[()]:
        groups.append(group)
        return ()

    monkeypatch.setattr(entry_points, "entry_points", fake)
    model_names()
    get_model("default")
    assert groups == [MODELS]


def test_a_broken_package_is_skipped_with_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_extension(tmp_path, MODELS, "raise RuntimeError('two\\nlines')", monkeypatch)
    expected = (
        r"entry point 'mine' of group aiop_orchestrator\.models \(my_extension\) cannot be imported and is skipped "
        r"\(RuntimeError: two lines\): fix it, or remove it with: pip uninstall my-extension$"
    )
    with pytest.warns(ExtensionWarning, match=expected) as caught:
        assert get_model("default").name == "default"
    assert "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError, match="unknown model mine"):
            get_model("mine")


def test_a_taken_name_is_an_error_at_every_look_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_extension(tmp_path, MODELS, MODEL.format(name="default"), monkeypatch)
    for _ in range(2):
        with pytest.raises(NameTakenError, match=r"'default' is registered twice, by predictor\..* and by my_ext"):
            get_model("trees")


def test_a_second_registration_is_refused_in_one_line() -> None:
    with pytest.raises(NameTakenError, match=r"model '.*' is registered twice, by .*: rename one of them") as refusal:
        base.register(LogFlops)
    assert "\n" not in str(refusal.value)
