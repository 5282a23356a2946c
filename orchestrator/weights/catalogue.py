"""Published weights by name: Once-for-All supernets, timm and torchvision models.

URLs of Once-for-All (Cai et al., ICLR 2020) are those of its `model_zoo`; no hashes were published with them. The names
of torchvision's files contain the first digits of their SHA-256. timm's weights are in repositories of the Hugging
Face Hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.errors import WeightsError

_OFA_FILES = "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets/"


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of weights that can be fetched.

    name: as on the command line. options: with which `orchestrator label` uses the file, without its path.
    sha256: its first digits; empty if none were published. hub: repository on the Hugging Face Hub, and file in it.
    """

    name: str
    url: str
    options: str
    sha256: str = ""
    hub: tuple[str, str] | None = None

    @property
    def file_name(self) -> str:
        """Name of the download."""
        if self.hub is not None:
            return "--".join((*self.hub[0].split("/"), self.hub[1]))
        return urlsplit(self.url).path.rsplit("/", 1)[-1]


def _on_hub(name: str, repository: str, file: str, options: str) -> PublishedFile:
    url = f"https://huggingface.co/{repository}/resolve/main/{file}"
    return PublishedFile(name, url, options, hub=(repository, file))


def _once_for_all() -> dict[str, PublishedFile]:
    on_github = (
        ("ofa:mobilenetv3_w1.0", "ofa_mbv3_d234_e346_k357_w1.0", "--space mobilenetv3 --set body.width=1.0"),
        ("ofa:mobilenetv3_w1.2", "ofa_mbv3_d234_e346_k357_w1.2", "--space mobilenetv3 --set body.width=1.2"),
        ("ofa:proxylessnas_w1.3", "ofa_proxyless_d234_e346_k357_w1.3", "--space proxylessnas --set body.width=1.3"),
    )
    files = [PublishedFile(name, f"{_OFA_FILES}{file}", options) for name, file, options in on_github]
    files.append(_on_hub("ofa:resnet50", "han-cai/ofa", "ofa_supernet_resnet50", "--space resnet50"))
    return {file.name: file for file in files}


ONCE_FOR_ALL = _once_for_all()
_TORCHVISION_HASH = re.compile(r"-([0-9a-f]{8,64})\.")


def is_published_name(source: str) -> bool:
    """Whether `source` has the form of a name in the catalogue, rather than that of a path."""
    return source.startswith(("ofa:", "timm:", "torchvision:"))


def find_published(name: str) -> PublishedFile:
    """Return the file of this name. Raises WeightsError, with the known names, if there is none."""
    publisher, _, model = name.partition(":")
    if publisher == "timm":
        return _timm(name, model)
    if publisher == "torchvision":
        return _torchvision(name, model)
    if name not in ONCE_FOR_ALL:
        known = ", ".join(ONCE_FOR_ALL)
        raise WeightsError(f"{name}: no such weights: choose {known}, timm:MODEL, torchvision:MODEL, or name a file")
    return ONCE_FOR_ALL[name]


def _timm(name: str, model: str) -> PublishedFile:
    import timm  # takes seconds

    if not timm.list_pretrained(model):
        raise WeightsError(f"{name}: timm publishes no such weights: see timm.list_pretrained()")
    cfg = timm.get_pretrained_cfg(model)
    if cfg is None or not cfg.hf_hub_id:
        raise WeightsError(
            f"{name}: is not on the Hugging Face Hub: download {cfg.url if cfg else 'it'} and name the file"
        )
    return _on_hub(name, cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors", "--space zoo")


def _torchvision(name: str, model: str) -> PublishedFile:
    from torchvision.models import get_model_weights, list_models  # takes seconds

    base, _, tag = model.partition(".")
    if base not in list_models():
        raise WeightsError(f"{name}: torchvision has no such model: see torchvision.models.list_models()")
    versions = get_model_weights(base)
    if tag and tag not in versions.__members__:
        raise WeightsError(f"{name}: torchvision has no such weights: choose {', '.join(versions.__members__)}")
    url = str((versions[tag] if tag else versions.DEFAULT).url)
    match = _TORCHVISION_HASH.search(url)
    return PublishedFile(name, url, "--space zoo", match[1] if match else "")
