"""ONNX operations that are recurrent layers, run by torch's own, which are matrix products for every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from predictor.graph.from_onnx.call import Call, Result, UnsupportedError, operation

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_PEEPHOLES = 7  # the input of LSTM that torch does not have
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN": torch.rnn_tanh,
    "ReluRNN": torch.rnn_relu,
}


@operation(*_GATES)
def _recurrent(c: Call) -> Result:
    """Inputs: sequence, weights of inputs, weights of states, biases, lengths, initial state, and initial cell."""
    kind, reverse = c.operation.kind, c.get("direction", b"forward") == b"reverse"
    weights, states = c[1], c[2]
    directions, size = states.shape[0], states.shape[2]
    if weights.shape[1] != _GATES[kind] * size or (kind == "LSTM" and c.has(_PEEPHOLES)):
        raise UnsupportedError
    x = c[0].transpose(0, 1) if c.get("layout", 0) else c[0]  # (steps, images, channels)
    x = x.flip(0) if reverse else x
    zeros = torch.zeros(directions, x.shape[1], size, dtype=x.dtype, device="meta")
    initial = [zeros, zeros] if kind == "LSTM" else [zeros]
    outputs, *last = _FUNCTIONS[_function(c)](
        x, initial if kind == "LSTM" else zeros, _parameters(c, size), c.has(3), 1, 0.0, False, directions == 2, False
    )
    outputs = outputs.flip(0) if reverse else outputs
    outputs = outputs.unflatten(-1, (directions, size)).movedim(2, 1)  # (steps, directions, images, channels)
    if c.get("layout", 0):
        return [outputs.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in last)]
    return [outputs, *last]


def _function(c: Call) -> str:
    """Return the key of the function. Raises UnsupportedError for activations that torch's layers do not have."""
    kind, directions = c.operation.kind, c[2].shape[0]
    given = tuple(name.decode().lower() for name in c.get("activations") or ())
    if kind == "RNN" and given == ("relu",) * directions:
        return "ReluRNN"
    if given not in ((), _ACTIVATIONS[kind] * directions):
        raise UnsupportedError
    return kind


def _parameters(c: Call, size: int) -> list[Tensor]:
    """Return torch's parameters of each direction: two matrices, and two biases that ONNX stores in a row."""
    parameters = list[Tensor]()
    for direction in range(c[2].shape[0]):
        parameters += [c[1][direction], c[2][direction]]
        if c.has(3):
            parameters += torch.split(c[3][direction], _GATES[c.operation.kind] * size)
    return parameters
