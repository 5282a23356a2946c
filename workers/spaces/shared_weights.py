"""Weight sharing by name and shape: each architecture uses slices of the shared weights.

As in Once-for-All (Cai et al., ICLR 2020), a slice has the first channels, the first blocks of a stage and the centre
of a kernel. The centre is multiplied by a learned matrix if the weights were published with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Space
from workers.spaces.skeletons import map_tensors

AnyModule = TypeVar("AnyModule", bound=nn.Module)

_FIRST_KERNEL_AXIS = 2  # kernel axes are cut at both ends, by one at a time; channel axes at the end


class SharedWeights(nn.Module):
    """The weights and buffers of every network of a space, each with the largest shape that occurs.

    networks: architectures and their networks, backbones with or without a head. Together they have each weight with
    its largest shape, as `Space.covering_architectures` do. Values are copied; a later value counts unless smaller.

    transforms: (n^2, n^2) matrices by which the centre n x n of a kernel of n + 2 is multiplied.

    Names in the `state_dict`, such as "weights.body/stem/0/conv/weight", are stored in artifacts and never change.
    """

    def __init__(self, space: Space, networks: Iterable[tuple[Architecture, nn.Module]]) -> None:
        super().__init__()
        self.space = space
        self.weights, self.constants, self.transforms = nn.ParameterDict(), nn.Module(), nn.ParameterDict()
        for architecture, network in networks:
            for name, weight in network.named_parameters():
                self._add(space.shared_name(name, architecture), weight.detach())
            for name, constant in network.named_buffers():
                key = _key(space.shared_name(name, architecture))
                self.constants.register_buffer(key, constant.detach().clone())

    def slices(self, architecture: Architecture, network: nn.Module) -> dict[str, Tensor]:
        """Return the slices that `network`, built for `architecture` on any device, uses, by the network's names.

        Parameters are views, so gradients reach the shared weights. Buffers are copies, so batch statistics do not.

        Raises GenotypeError if a weight of the network is missing here or larger than the shared one.
        """
        constants = dict(self.constants.named_buffers())
        slices = {}
        for name, weight in network.named_parameters():
            slices[name] = self._slice(self.weights, name, architecture, weight)
        for name, constant in network.named_buffers():
            slices[name] = self._slice(constants, name, architecture, constant).clone()
        return slices

    def run(self, architecture: Architecture, network: nn.Module, images: Tensor) -> object:
        """Run `network` with its slices instead of its own weights. The network may be on the meta device."""
        return functional_call(network, self.slices(architecture, network), (images,))

    @torch.no_grad()
    def view(self, architecture: Architecture, network: AnyModule) -> AnyModule:
        """Return a copy of `network` with its slices as frozen weights, which takes memory for its buffers alone.

        The network may be on the meta device. Raises as `slices` does.
        """
        constants = dict(self.constants.named_buffers())

        def parameter(name: str, like: Tensor) -> Tensor:
            return nn.Parameter(self._slice(self.weights, name, architecture, like), requires_grad=False)

        def buffer(name: str, like: Tensor) -> Tensor:
            return self._slice(constants, name, architecture, like).clone()

        return map_tensors(network, parameter, buffer)

    @torch.no_grad()
    def copy_into(self, architecture: Architecture, network: nn.Module) -> None:
        """Copy the slices that `network` uses into its weights and buffers."""
        slices = self.slices(architecture, network)
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            value.copy_(slices[name])

    def add_transform(self, name: str, size: int, matrix: Tensor) -> None:
        """Multiply the `size` x `size` centres of the weight `name` by `matrix` from now on."""
        self.transforms[f"{_key(name)}:{size}"] = nn.Parameter(matrix.clone())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Load a `state_dict`, which may have further tensors. Raises KeyError if a tensor is missing."""
        for name, value in tensors.items():
            group, _, key = name.partition(".")
            if group == "transforms":
                self.transforms[key] = nn.Parameter(value.clone())
        self.load_state_dict({name: tensors[name] for name in self.state_dict()})

    def _add(self, name: str, value: Tensor) -> None:
        key = _key(name)
        if key not in self.weights or self.weights[key].numel() <= value.numel():
            self.weights[key] = nn.Parameter(value.clone())

    def _slice(
        self, shared: nn.ParameterDict | Mapping[str, Tensor], name: str, architecture: Architecture, like: Tensor
    ) -> Tensor:
        key = _key(self.space.shared_name(name, architecture))
        whole = shared.get(key)
        if whole is None or any(h < w for h, w in zip(whole.shape, like.shape, strict=True)):
            raise GenotypeError(f"{self.space.name}: no shared weight holds '{name}' {tuple(like.shape)}")
        part: Tensor = whole[tuple(slice(side) for side in like.shape[:_FIRST_KERNEL_AXIS])]
        while part.shape[_FIRST_KERNEL_AXIS:] != like.shape[_FIRST_KERNEL_AXIS:]:
            part = self._centre(key, part)
        return part

    def _centre(self, key: str, kernels: Tensor) -> Tensor:
        """Cut (N, C, n + 2, n + 2) kernels to their (N, C, n, n) centres."""
        inner = kernels[..., 1:-1, 1:-1]
        matrix = self.transforms[name] if (name := f"{key}:{inner.shape[-1]}") in self.transforms else None
        return inner if matrix is None else (inner.flatten(-2) @ matrix.T).view(inner.shape)


def _key(name: str) -> str:
    return name.replace(".", "/")  # torch forbids dots in parameter names
