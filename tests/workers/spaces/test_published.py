"""Spaces with published labels: strings are read, and networks have the published number of parameters."""

import pytest
import timm
import torch

from workers.errors import GenotypeError, RecipeError
from workers.messages.architecture import Architecture
from workers.spaces import get_space
from workers.spaces.mnasnet import MnasNet
from workers.spaces.transnas_macro import TransNasMacro, pyramid_codes


def row(e: str, k: str, d: str, se: str) -> str:
    """Return the published JSON of a network."""
    lists = [",".join(digits) for digits in (e, k, d)] + [",".join("true" if c == "1" else "false" for c in se)]
    return "{" + ",".join(f'"{key}":[{values}]' for key, values in zip(("e", "k", "d", "se"), lists, strict=True)) + "}"


MNASNET_ROWS = [
    (row("4146466", "5533553", "1131212", "0000000"), 4042824),
    (row("4666444", "3535353", "2231343", "1011001"), 5778888),
    (row("1411461", "3335333", "2132141", "1111000"), 3441648),
]
# Convolution to 1,280 channels with its batch norm, and the classifier of ImageNet.
MNASNET_HEAD = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000


class TestMnasNet:
    @pytest.mark.parametrize(("text", "params"), MNASNET_ROWS)
    def test_published_rows_have_their_parameters(self, text: str, params: int) -> None:
        space = MnasNet()
        assert space.cost(space.parse(text), (64, 64)).params + MNASNET_HEAD == params

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not JSON"),
            ("[]", "must be an object"),
            ('{"e":[1]}', "must have the keys e, k, d, se"),
            (MNASNET_ROWS[0][0].replace("[4,1", "[5,1"), "'e' of stage 0 must be one of"),
            (MNASNET_ROWS[0][0].replace("[1,1,3", "[4,1,3"), "'d' of stage 0 must be one of"),
            (MNASNET_ROWS[0][0].replace("[false,", "[0,"), "'se' of stage 0 must be one of"),
        ],
    )
    def test_invalid_strings_are_refused_in_one_line(self, text: str, message: str) -> None:
        with pytest.raises(GenotypeError, match=message) as error:
            MnasNet().parse(text)
        assert "\n" not in str(error.value)


class TestTransNasMacro:
    def test_space_has_the_published_size(self) -> None:
        assert len(pyramid_codes()) == len(set(pyramid_codes())) == 3256 - 754

    # The published numbers include a decoder, whose size depends only on its input channels.
    @pytest.mark.parametrize(
        ("text", "params", "decoder"),
        [("124200", 34058323, 22871859), ("212400", 34501203, 22871859), ("121113", 22405971, 19332915)],
    )
    def test_published_rows_have_their_parameters(self, text: str, params: int, decoder: int) -> None:
        space = TransNasMacro()
        cost = space.cost(space.parse(text), (64, 64), {"levels": "published"})
        assert cost.params + decoder == params

    def test_every_published_notation_is_read(self) -> None:
        space = TransNasMacro()
        assert space.parse("64-41414-basic") == space.parse("414140") == space.parse("41414")
        assert space.encode(space.parse("41414")) == [4, 1, 4, 1, 4, 0]
        for wrong in ("64-41414-3_33_333", "1111", "2222", "414", "4101410", "32-41414-basic", ""):
            with pytest.raises(GenotypeError):
                space.parse(wrong)
        with pytest.raises(GenotypeError):
            space.decode([4, 1, 0, 1, 4, 0])

    @pytest.mark.parametrize(
        ("code", "levels", "strides"),
        [
            ("1123", "pyramid", (4, 8, 16, 32)),
            ("1123", "published", (4, 8)),
            ("333321", "published", (4, 8, 16, 32, 64)),
        ],
    )
    def test_every_module_gets_gradients(self, code: str, levels: str, strides: tuple[int, ...]) -> None:
        space = TransNasMacro()
        backbone = space.build(space.parse(code), {"levels": levels})
        maps = backbone(torch.randn(2, 3, 128, 64))
        assert backbone.strides == strides
        assert [tuple(m.shape) for m in maps] == [
            (2, c, 128 // s, 64 // s) for c, s in zip(backbone.channels, strides, strict=True)
        ]
        maps[-1].square().sum().backward()
        assert all(p.grad is not None for p in backbone.parameters())

    def test_a_network_beyond_the_pyramid_is_an_error_with_the_remedy(self) -> None:
        space = TransNasMacro()
        with pytest.raises(GenotypeError, match="levels: published"):
            space.build(space.parse("333321"))
        with pytest.raises(RecipeError, match="pyramid, published"):
            space.build(space.parse("1123"), {"levels": "some"})


def test_the_largest_cell_has_the_published_cost() -> None:
    space = get_space("nasbench201")
    cost = space.cost(space.covering_architectures()[1], (32, 32), space.published_backbone)
    head, batch_norms = (
        64 * 10 + 10,
        2 * (16 + 32),
    )  # here every stage ends with one, as published only the last
    assert cost.params + head - batch_norms == 1_531_546
    assert cost.flops / 2e6 == pytest.approx(220.12, rel=1e-3)


def test_resnet50_with_the_published_widths_has_the_cost_of_timms() -> None:
    genotype = {"depth": [1, 2, 2, 1], "expansion": [0.25] * 16, "width": [1.0] * 6, "stem": 1}
    cost = get_space("resnet50").cost(Architecture.of("resnet50", genotype), (64, 64))
    with torch.device("meta"):
        network = timm.create_model("resnet50d", num_classes=0)
    assert cost.params == sum(p.numel() for p in network.parameters())
