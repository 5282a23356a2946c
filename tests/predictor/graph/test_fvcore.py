"""FLOPs and parameters agree with those of fvcore, which traces a network with weights by torch.jit.

fvcore counts one FLOP per multiply-add, a graph two. It also counts norms, pools and resizing, which are excluded here.
It does not count fused attention, which is turned off here.
"""

from __future__ import annotations

import pytest
import timm
import torch
from fvcore.nn import FlopCountAnalysis, parameter_count
from timm.layers import set_fused_attn

from predictor.graph import trace

pytestmark = pytest.mark.filterwarnings("ignore")  # from torch.jit
_PRODUCTS = ("conv", "linear", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum")

FAMILIES = (
    "mobilenetv3_small_100 efficientnet_b0 convnext_atto vit_tiny_patch16_224 swin_tiny_patch4_window7_224 regnetx_002 "
    "densenet121 mixer_s32_224 ghostnet_100 edgenext_xx_small"
)
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES.split()]


@pytest.mark.parametrize("name", ["resnet18", *SLOW])
def test_flops_and_parameters(name: str) -> None:
    set_fused_attn(False)
    try:
        network = timm.create_model(name).eval()
        size = network.default_cfg["input_size"] if name != "resnet18" else (3, 64, 64)
        counted = FlopCountAnalysis(network, torch.zeros(1, *size)).unsupported_ops_warnings(False).by_operator()
    finally:
        set_fused_attn(True)
    expected = 2 * sum(counted[product] for product in _PRODUCTS)
    graph = trace(network, size)
    print(f"\n{name}: FLOPs {graph.flops} / {expected}, all that fvcore counts {2 * sum(counted.values())}")
    assert graph.flops == pytest.approx(expected, rel=0.01)
    assert graph.params == pytest.approx(parameter_count(network)[""], rel=0.01)
