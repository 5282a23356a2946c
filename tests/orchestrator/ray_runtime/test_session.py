"""The modules of users that a cluster's machines get a copy of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.errors import ConfigError
from orchestrator.ray_runtime import session
from orchestrator.ray_runtime.session import ray_session


class _Context:
    dashboard_url = ""


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that Ray is started with."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(ray, "init", lambda **given: seen.update(given) or _Context())
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # though other tests of this process may use it
    monkeypatch.setattr(session, "check_reachable", lambda address: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return seen


def test_a_cluster_gets_copies_of_modules(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with ray_session([Path("/nets/mynets"), Path("/nets/one.py")]):
        assert options["runtime_env"] == {"py_modules": ["/nets/mynets", "/nets/one.py"]}


@pytest.mark.parametrize(("address", "modules"), [("10.0.0.1:6379", []), ("", [Path("/nets/mynets")])])
def test_nothing_is_copied_without_need(
    address: str, modules: list[Path], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with ray_session(modules):
        assert "runtime_env" not in options


def test_a_failed_copy_is_one_line(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ray.exceptions.RuntimeEnvSetupError("too\nlarge")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ConfigError, match=r"cannot be used \(.*too large.*\): start the cluster"), ray_session():
        pass


def test_a_session_inside_another_joins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[str]()

    def init(**given: Any) -> _Context:
        calls.append("join" if given.get("ignore_reinit_error") else "start")
        return _Context()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(ray, "is_initialized", lambda: "start" in calls)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with ray_session():
        with ray_session():
            pass
        assert calls == ["start", "join"]
    assert calls == ["start", "join", "shutdown"]
