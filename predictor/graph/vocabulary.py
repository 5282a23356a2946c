"""The kinds of nodes in a graph, and the kind of each of torch's operations.

New kinds are added at the end; none is removed or moved, because trained predictors depend on their indices. Operations
that are not listed here become `other`.
"""

from __future__ import annotations

VERSION = 3  # of graphs: increased whenever the same module would give a different graph

OPS = (
    "input",
    "output",
    "conv",
    "depthwise_conv",
    "transposed_conv",
    "linear",
    "matmul",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "relu",
    "clamp",
    "leaky_relu",
    "sigmoid",
    "hard_sigmoid",
    "tanh",
    "swish",
    "hard_swish",
    "gelu",
    "softmax",
    "add",
    "mul",
    "div",
    "power",
    "exponential",
    "trigonometric",
    "max_pool",
    "avg_pool",
    "mean",
    "sum",
    "maximum",
    "concat",
    "slice",
    "gather",
    "roll",
    "pad",
    "resize",
    "rearrange",
    "embedding",
    "compare",
    "sort",
    "fourier",
    "scan",
    "regions",
    "other",
    "zero",
)

# Names of torch's operations, without overloads and without the trailing underscore of in-place variants.
ATEN: dict[str, str] = {
    name: kind
    for kind, names in {
        "conv": "convolution _convolution convolution_overrideable mkldnn_convolution cudnn_convolution deform_conv2d",
        "matmul": "mm bmm addmm addbmm baddbmm mv addmv dot _trilinear",
        "batch_norm": "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm batch_norm "
        "_native_batch_norm_legit _batch_norm_with_update miopen_batch_norm",
        "layer_norm": "native_layer_norm _fused_rms_norm rms_norm linalg_vector_norm norm",
        "group_norm": "native_group_norm",
        "relu": "relu threshold",
        "clamp": "hardtanh clamp clamp_min clamp_max relu6 round floor ceil trunc sign abs neg",
        "leaky_relu": "leaky_relu prelu _prelu_kernel elu celu selu rrelu softplus mish log_sigmoid_forward hardshrink",
        "sigmoid": "sigmoid",
        "hard_sigmoid": "hardsigmoid",
        "tanh": "tanh atan erf",
        "swish": "silu",
        "hard_swish": "hardswish",
        "gelu": "gelu",
        "softmax": "_softmax _safe_softmax softmax _log_softmax glu",
        "add": "add sub rsub lerp addcmul addcdiv logaddexp",
        "mul": "mul",
        "div": "div true_divide floor_divide reciprocal remainder fmod",
        "power": "pow sqrt rsqrt square",
        "exponential": "exp log log2 log1p exp2 expm1 log10",
        "trigonometric": "sin cos tan atan2 polar",
        "max_pool": "max_pool2d_with_indices max_pool2d adaptive_max_pool2d max_pool3d_with_indices max_pool1d",
        "avg_pool": "avg_pool2d _adaptive_avg_pool2d avg_pool1d avg_pool3d _adaptive_avg_pool3d",
        "mean": "mean var var_mean std std_mean",
        "sum": "sum cumsum logsumexp prod cumprod",
        "maximum": "amax amin max min maximum minimum argmax argmin",
        "concat": "cat stack copy hstack vstack slice_scatter select_scatter index_put scatter scatter_add index_add "
        "masked_fill fill where",
        "slice": "slice select split split_with_sizes chunk unbind narrow diagonal unfold",
        "gather": "gather index index_select take take_along_dim masked_select grid_sampler_2d grid_sampler",
        "roll": "roll flip rot90",
        "pad": "constant_pad_nd reflection_pad2d replication_pad2d reflection_pad1d _pad_circular",
        "resize": "upsample_bilinear2d upsample_nearest2d upsample_bicubic2d _upsample_nearest_exact2d "
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa upsample_linear1d",
        "rearrange": "pixel_shuffle pixel_unshuffle im2col col2im channel_shuffle native_channel_shuffle repeat tile "
        "repeat_interleave",
        "embedding": "embedding one_hot",
        "compare": "eq ne lt le gt ge logical_and logical_or logical_not bitwise_and bitwise_or isfinite isnan",
        "sort": "topk sort argsort",
        "fourier": "_fft_r2c _fft_c2r _fft_c2c view_as_complex view_as_real",
        "regions": "roi_align roi_pool ps_roi_align ps_roi_pool nms",
        "scan": "lstm gru _thnn_fused_lstm_cell lstm_cell gru_cell",
    }.items()
    for name in names.split()
}

# These only move or convert values and are not nodes: their input is connected to the next operation.
_LAYOUT = (
    "view _unsafe_view reshape _reshape_alias permute transpose t expand unsqueeze squeeze clone contiguous detach "
    "alias _to_copy to lift_fresh as_strided movedim swapaxes flatten unflatten numpy_T _conj resolve_conj resolve_neg "
    "dropout native_dropout alpha_dropout feature_dropout view_as expand_as"
)
LAYOUT = frozenset(_LAYOUT.split())

# These read the size of a tensor and none of its values, so their result is constant.
CONSTANT = frozenset(f"new_{what}" for what in ("zeros", "ones", "full", "empty", "empty_strided"))
CONSTANT |= {f"{what}_like" for what in ("zeros", "ones", "full", "empty", "rand", "randn")}
ZEROS = frozenset(("new_zeros", "zeros_like"))  # of these, a branch that is switched off may be made
