"""Checks of a machine, and the error message of each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.declared_space import isolate_declarations, write_space
from workers.code_version import code_version
from workers.errors import NodeError
from workers.execution import node_check
from workers.execution.node_check import NodeNeeds, check_node, mark_folder
from workers.spaces import open_space
from workers.spaces.opening import space_message
from workers.spaces.weights_file import weights_fingerprint


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_check, "_MARKER_TIMEOUT_S", 0.0)
    monkeypatch.setattr(node_check.platform, "node", lambda: "n7")


def test_a_machine_that_meets_all_requirements_passes(tmp_path: Path) -> None:
    spool = tmp_path / "labels" / "_spool"
    needs = NodeNeeds({str(spool): mark_folder(spool)}, data="shapes", task="seg")
    check_node(needs)
    assert mark_folder(spool) == needs.folders[str(spool)]  # the id never changes
    assert [path.name for path in spool.iterdir()] == [".place"]


def test_a_missing_or_different_folder_is_an_error(tmp_path: Path) -> None:
    needs = NodeNeeds({str(tmp_path / "spool"): mark_folder(tmp_path / "spool")})
    shutil.rmtree(tmp_path / "spool")
    with pytest.raises(NodeError, match=rf"^node n7: {tmp_path}/spool cannot be reached: mount shared storage"):
        check_node(needs)
    assert not (tmp_path / "spool").exists()  # else labels would be written where no committer reads
    mark_folder(tmp_path / "spool")
    with pytest.raises(NodeError, match=r"spool is not the driver's folder: mount shared storage"):
        check_node(needs)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    needs = NodeNeeds({str(tmp_path): mark_folder(tmp_path)})
    monkeypatch.setattr(node_check.tempfile, "TemporaryFile", refuse)
    with pytest.raises(NodeError, match=r"cannot be written \(Read-only file system\): mount"):
        check_node(needs)


def test_missing_data_is_an_error() -> None:
    with pytest.raises(NodeError, match=r"^node n7: --data .*/nowhere does not exist"):
        check_node(NodeNeeds(data="masks:/nowhere", task="seg"))


def test_a_users_space_without_its_module_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_declarations(monkeypatch)
    open_space(str(write_space(tmp_path)))
    message = space_message("mynets")
    check_node(NodeNeeds(space=message))
    missing = message.replace("nets_", "gone_")
    with pytest.raises(NodeError, match=r"node .*: space mynets: build gone_.*: cannot be imported .*on every machine"):
        check_node(NodeNeeds(space=missing))


def test_other_code_is_an_error() -> None:
    with pytest.raises(NodeError, match=r"^node n7: runs other code than the driver \(\w{12}, not old\): .*`ray up"):
        check_node(NodeNeeds(code="old"))


def test_the_code_version_depends_on_file_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("orchestrator", "predictor", "workers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    def version() -> str:
        code_version.cache_clear()
        return code_version()

    versions = [version(), version()]
    (tmp_path / "workers" / "a.py").write_text("x = 1")
    versions.append(version())
    (tmp_path / "workers" / "a.py").rename(tmp_path / "predictor" / "a.py")
    versions.append(version())
    (tmp_path / "predictor" / "a.pyc").write_text("")
    versions.append(version())
    code_version.cache_clear()
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3
    assert versions[3] == versions[4]


def test_pretrained_weights_must_be_those_of_the_driver(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    needs = NodeNeeds(weights={str(path): weights_fingerprint(path, "body pretrained")})
    check_node(needs)
    path.write_bytes(b"others!")
    with pytest.raises(NodeError, match="is another file than the driver's: copy the driver's file there"):
        check_node(needs)
    path.unlink()
    with pytest.raises(NodeError, match="cannot be read: copy the driver's file there"):
        check_node(needs)
