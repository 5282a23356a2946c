"""The zoo: supported models, and weights from a file."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces import Backbone, get_space
from workers.spaces.zoo import MODELS

SIZE = 64, 96


def architecture(model: str) -> Architecture:
    return Architecture.of("zoo", {"model": model})


def on_meta(model: str) -> Backbone:
    with torch.device("meta"):
        return get_space("zoo").build(architecture(model))


def has_pyramid(backbone: Backbone) -> bool:
    # In training mode with one image, because `split` may divide a batch into single images.
    maps = backbone.train()(torch.empty(1, 3, *SIZE, device="meta"))
    expected = [(1, c, SIZE[0] // s, SIZE[1] // s) for c, s in zip(backbone.channels, backbone.strides, strict=True)]
    return backbone.strides == (4, 8, 16, 32) and [tuple(m.shape) for m in maps] == expected


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_listed_model_has_the_pyramid(model: str) -> None:
    assert has_pyramid(on_meta(model))


def test_the_list_is_sorted_and_without_repetition() -> None:
    assert list(MODELS) == sorted(set(MODELS))
    assert len(MODELS) > 64  # more than one block of `Space.stratified`


@pytest.mark.parametrize("model", ["swin_tiny_patch4_window7_224", "mambaout_femto", "resnet18.a1_in1k", "vgg11_bn"])
def test_models_with_channels_last_or_tags_or_finer_levels(model: str) -> None:
    assert has_pyramid(on_meta(model))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_tiny_patch16_224", "choose a hierarchical one"),
        ("no_such_net", "must be a timm model"),
        ("hf-hub:some/model", "must be a timm model"),
        ("resnet18.no_such_tag", "has no weights 'no_such_tag'"),
    ],
)
def test_unsuitable_models_are_refused(model: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        on_meta(model)


def test_a_model_outside_the_list_has_no_code() -> None:
    with pytest.raises(GenotypeError, match=r"add it to zoo\.MODELS"):
        get_space("zoo").encode(architecture("resnet101"))


class TestPretrained:
    @pytest.mark.parametrize("model", ["resnet10t", "convnext_atto", "regnety_002"])
    def test_weights_are_read_from_a_file(self, model: str, tmp_path: Path) -> None:
        torch.manual_seed(0)
        source = timm.create_model(model, num_classes=7).eval()  # the classifier differs, which does not matter
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        backbone = get_space("zoo").build(architecture(model), {"pretrained": str(tmp_path / "w.safetensors")}).eval()
        images = torch.randn(1, 3, *SIZE)
        assert backbone.keeps_weights is True
        expected = source.forward_intermediates(images, intermediates_only=True)[-4:]
        for level, truth in zip(backbone(images), expected, strict=True):
            assert torch.allclose(level, truth, atol=1e-5)

    def test_training_may_initialise_a_model_without_weights(self) -> None:
        assert get_space("zoo").build(architecture("resnet10t")).keeps_weights is False

    def test_a_file_that_does_not_fit_is_refused_in_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "broken.safetensors").write_bytes(b"not weights")
        state = timm.create_model("resnet10t").state_dict()
        save_file({**state, "extra": torch.zeros(1)}, tmp_path / "extra.safetensors")
        save_file({k: v for k, v in state.items() if k != "bn1.weight"}, tmp_path / "fewer.safetensors")
        save_file({**state, "bn1.weight": torch.zeros(3)}, tmp_path / "shape.safetensors")
        torch.save(state, tmp_path / "pickle.pth")
        wrong = {
            "missing.safetensors": "no such file",
            "broken.safetensors": "not a readable safetensors file",
            "extra.safetensors": "first 'extra', do not fit resnet10t",
            "fewer.safetensors": "first 'bn1.weight', do not fit",
            "shape.safetensors": "first 'bn1.weight', do not fit",
            "pickle.pth": "must be none, hub or a .safetensors file",
        }
        for name, message in wrong.items():
            with pytest.raises(RecipeError, match=message) as error:
                get_space("zoo").build(architecture("resnet10t"), {"pretrained": str(tmp_path / name)})
            assert "\n" not in str(error.value)
        with pytest.raises(RecipeError, match="must be none, hub or"):
            get_space("zoo").build(architecture("resnet10t"), {"pretrained": True})

    def test_cost_reads_no_weights(self) -> None:
        space = get_space("zoo")
        assert space.cost(architecture("resnet10t"), SIZE, {"pretrained": "hub"}) == space.cost(
            architecture("resnet10t"), SIZE
        )
