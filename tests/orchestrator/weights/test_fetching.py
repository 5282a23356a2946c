"""Fetched weights: published files by name and checkpoints from files, their hashes, and what the spaces accept."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors

from orchestrator.errors import WeightsError
from orchestrator.weights import download
from orchestrator.weights.catalogue import ONCE_FOR_ALL, find_published
from orchestrator.weights.fetching import MIRROR, FetchedWeights, fetch_weights
from orchestrator.weights.folder import WeightsFolder
from tests.support.once_for_all_files import FILES
from tests.support.weights_server import WeightsServer, serving
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.weights_file import body_fingerprint

OFA = "ofa:mobilenetv3_w1.0"
OFA_PATH = "/han-cai/files/master/ofa/ofa_nets/ofa_mbv3_d234_e346_k357_w1.0"
STATE = {"conv1.weight": torch.ones(2, 3)}


def checkpoint(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    monkeypatch.setattr(download, "_BACKOFF_S", 0.0)
    with serving({OFA_PATH: checkpoint({"state_dict": STATE})}) as running:
        monkeypatch.setenv(MIRROR, running.url)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    return WeightsFolder(tmp_path / "weights")


def test_published_weights_are_fetched_once(server: WeightsServer, folder: WeightsFolder) -> None:
    first, again = fetch_weights(OFA, folder=folder), fetch_weights(OFA, folder=folder)
    assert first == again
    assert len(server.requests) == 1
    assert first.source == ONCE_FOR_ALL[OFA].url
    assert first.sha256 == hashlib.sha256(server.files[OFA_PATH]).hexdigest()
    assert first.options == "--space mobilenetv3 --set body.width=1.0"
    assert torch.equal(load_file(first.path)["conv1.weight"], STATE["conv1.weight"])


def test_the_name_of_the_file_has_the_fingerprint_of_labels(server: WeightsServer, folder: WeightsFolder) -> None:
    path = fetch_weights(OFA, folder=folder).path
    assert Path(path).stem == f"ofa-mobilenetv3_w1.0-{body_fingerprint({'pretrained': path})}"


def test_a_mirror_can_be_an_option(
    server: WeightsServer, folder: WeightsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:1")
    server.files = {f"/pub{OFA_PATH}": server.files[OFA_PATH]}
    assert fetch_weights(OFA, mirror=f"{server.url}/pub", folder=folder).tensors == 1


def test_a_file_that_was_copied_by_hand_is_used(folder: WeightsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:1")
    with pytest.raises(WeightsError) as caught:
        fetch_weights(OFA, folder=folder)
    url, place = ONCE_FOR_ALL[OFA].url, folder.download("ofa_mbv3_d234_e346_k357_w1.0")
    assert f"download {url} elsewhere, copy it to {place} and run the command again" in str(caught.value)
    place.write_bytes(checkpoint(STATE))
    assert fetch_weights(OFA, folder=folder).tensors == 1


def test_a_later_different_file_is_refused(server: WeightsServer, folder: WeightsFolder) -> None:
    first = fetch_weights(OFA, folder=folder)
    server.files[OFA_PATH] = checkpoint({"state_dict": {"conv1.weight": torch.zeros(2, 3)}})
    kept = folder.download("ofa_mbv3_d234_e346_k357_w1.0")
    kept.unlink()
    with pytest.raises(WeightsError, match=rf"its SHA-256 is [0-9a-f]{{64}}, not {first.sha256}: it was removed"):
        fetch_weights(OFA, folder=folder)
    assert not kept.exists()
    new = hashlib.sha256(server.files[OFA_PATH]).hexdigest()
    assert fetch_weights(OFA, sha256=new, folder=folder).sha256 == new
    assert fetch_weights(OFA, folder=folder).sha256 == new


def test_a_pinned_hash_is_checked(server: WeightsServer, folder: WeightsFolder, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not 0123456789: it was removed: fetch it again"):
        fetch_weights(OFA, sha256="0123456789", folder=folder)
    with pytest.raises(WeightsError, match="write 8 to 64 hexadecimal digits"):
        fetch_weights(OFA, sha256="nothex", folder=folder)
    own = tmp_path / "own.pth"
    own.write_bytes(checkpoint(STATE))
    with pytest.raises(WeightsError, match="not 00000000: name the right file"):
        fetch_weights(str(own), sha256="0" * 8, folder=folder)
    assert own.exists()


def test_a_page_in_place_of_weights_is_not_kept(server: WeightsServer, folder: WeightsFolder) -> None:
    good, server.files[OFA_PATH] = server.files[OFA_PATH], b"<html>Log in to this network</html>"
    with pytest.raises(WeightsError, match="the download was removed") as caught:
        fetch_weights(OFA, folder=folder)
    assert "\n" not in str(caught.value)
    server.files[OFA_PATH] = good
    assert fetch_weights(OFA, folder=folder).tensors == 1


def test_torchvision_files_must_have_the_hash_in_their_name(server: WeightsServer, folder: WeightsFolder) -> None:
    server.files["/models/resnet18-f37072fd.pth"] = checkpoint(STATE)
    with pytest.raises(WeightsError, match="not f37072fd: it was removed"):
        fetch_weights("torchvision:resnet18", folder=folder)
    assert not folder.download("resnet18-f37072fd.pth").exists()


def test_timm_weights_come_from_the_hub(
    server: WeightsServer, folder: WeightsFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    path = "/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    server.files[path] = to_safetensors(STATE)
    server.files[path.replace("/main/", f"/{'0' * 40}/")] = server.files[path]
    fetched = fetch_weights("timm:resnet18.a1_in1k", folder=folder)
    assert Path(fetched.path).name.startswith("timm-resnet18.a1_in1k-")
    assert fetched.tensors == 1
    assert fetched.sha256 == hashlib.sha256(server.files[path]).hexdigest()


@pytest.mark.parametrize(
    ("name", "url", "sha256"),
    [
        ("torchvision:resnet50", "https://download.pytorch.org/models/resnet50-11ad3fa6.pth", "11ad3fa6"),
        ("torchvision:resnet50.IMAGENET1K_V1", "https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61"),
        ("timm:resnet18", "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors", ""),
        ("ofa:resnet50", "https://huggingface.co/han-cai/ofa/resolve/main/ofa_supernet_resnet50", ""),
    ],
)
def test_names_have_the_addresses_of_their_publishers(name: str, url: str, sha256: str) -> None:
    published = find_published(name)
    assert (published.url, published.sha256) == (url, sha256)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ofa:mobilenetv3", "choose ofa:mobilenetv3_w1.0, ofa:mobilenetv3_w1.2, ofa:proxylessnas_w1.3, ofa:resnet50, "),
        ("timm:resnet18.none", "timm publishes no such weights"),
        ("torchvision:resnet0", "torchvision has no such model"),
        ("torchvision:resnet50.none", "torchvision has no such weights: choose IMAGENET1K_V1, IMAGENET1K_V2"),
        ("no/such/file.pth", "No such file or directory: name a checkpoint or published weights"),
    ],
)
def test_unknown_names_are_one_line_errors(name: str, message: str, folder: WeightsFolder) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        fetch_weights(name, folder=folder)
    assert "\n" not in str(caught.value)


class TestUse:
    """Converted files in the spaces."""

    def fetch(self, content: object, tmp_path: Path, folder: WeightsFolder) -> FetchedWeights:
        torch.save(content, tmp_path / "w.pth")
        return fetch_weights(str(tmp_path / "w.pth"), folder=folder)

    def test_a_published_supernet_is_accepted(self, tmp_path: Path, folder: WeightsFolder) -> None:
        make, settings = FILES["mobilenetv3"]
        fetched = self.fetch({"state_dict": make(), "epoch": 180}, tmp_path, folder)
        space = get_space("mobilenetv3")
        smallest = space.smallest_architecture()
        assert smallest is not None
        assert space.build(smallest, {**settings, "pretrained": fetched.path}).keeps_weights

    @pytest.mark.parametrize("model", ["resnet18", "resnet34", "resnet50", "resnet101"])
    def test_torchvision_names_are_those_of_timm(self, model: str) -> None:
        with torch.device("meta"):
            theirs, ours = torchvision.models.get_model(model), timm.create_model(model)
        assert {name: value.shape for name, value in theirs.state_dict().items()} == {
            name: value.shape for name, value in ours.state_dict().items()
        }

    @pytest.mark.parametrize("layout", ["torchvision", "old torchvision", "mmdet"])
    @torch.no_grad()
    def test_resnets_compute_what_torchvision_computes(
        self, layout: str, tmp_path: Path, folder: WeightsFolder
    ) -> None:
        theirs = torchvision.models.resnet18(num_classes=5).eval()
        state = theirs.state_dict()
        for name, value in state.items():
            if "running_mean" in name:
                value.normal_(0, 0.1)
        content: object = state
        if layout == "old torchvision":
            content = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
        if layout == "mmdet":
            body = {f"backbone.{name}": value for name, value in state.items() if not name.startswith("fc.")}
            content = {"meta": {}, "state_dict": {**body, "neck.lateral_convs.0.conv.weight": torch.zeros(1)}}
        fetched = self.fetch(content, tmp_path, folder)
        body = get_space("zoo").build(Architecture.of("zoo", {"model": "resnet18"}), {"pretrained": fetched.path})
        images = torch.randn(1, 3, 64, 64)
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
        assert torch.allclose(body.eval()(images)[-1], expected, atol=1e-5)
