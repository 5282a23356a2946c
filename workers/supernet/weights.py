"""Weight sharing by name and shape: what an architecture uses of the shared weights is a slice of them.

As in Once-for-All (Cai et al., ICLR 2020): the first channels, the first blocks of a stage, the centre of a kernel.
The centre goes through a learnt matrix where the weights were published with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workers.errors import GenotypeError
from workers.messages.architecture import Architecture
from workers.spaces.base import Space

_KERNEL_AXES = 2  # axes from this one on are cut at both ends, by one at a time, those before it at the end


class SharedWeights(nn.Module):
    """The weights and buffers of every network of a space, each at the largest shape that occurs.

    networks: architectures and their networks, a body or a body with a head, which together have every weight at
    its largest: those of `Space.covering`. Their values are taken over; of two, that of the later and larger one.

    transforms: (n^2, n^2) matrices that the centre n x n of a kernel of n + 2 goes through, for weights that have one.
    """

    def __init__(self, space: Space, networks: Iterable[tuple[Architecture, nn.Module]]) -> None:
        super().__init__()
        self._space = space
        self.weights, self.constants, self.transforms = nn.ParameterDict(), nn.Module(), nn.ParameterDict()
        for architecture, network in networks:
            for name, weight in network.named_parameters():
                self._take(space.shared_name(name, architecture), weight.detach())
            for name, constant in network.named_buffers():
                key = _key(space.shared_name(name, architecture))
                self.constants.register_buffer(key, constant.detach().clone())

    def of(self, architecture: Architecture, network: nn.Module) -> dict[str, Tensor]:
        """The slices that `network`, built for `architecture` on any device, uses, by the network's own names.

        Parameters are views, so gradients reach the shared weights; buffers are copies, so batch statistics do not.

        Raises GenotypeError where the network has a weight that no covering network has, or has smaller.
        """
        constants = dict(self.constants.named_buffers())
        used = {}
        for name, weight in network.named_parameters():
            used[name] = self._cut(self.weights, name, architecture, weight)
        for name, constant in network.named_buffers():
            used[name] = self._cut(constants, name, architecture, constant).clone()
        return used

    def run(self, architecture: Architecture, network: nn.Module, images: Tensor) -> object:
        """What `network` gives with its slices in place of its own weights; it may be on the meta device."""
        return functional_call(network, self.of(architecture, network), (images,))

    @torch.no_grad()
    def copy_into(self, architecture: Architecture, network: nn.Module) -> None:
        """Make `network` one of its own: its weights and buffers get the values of its slices."""
        used = self.of(architecture, network)
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            value.copy_(used[name])

    def add_transform(self, name: str, size: int, matrix: Tensor) -> None:
        """From now on, centres of `size` x `size` of the weight called `name` go through `matrix`."""
        self.transforms[f"{_key(name)}:{size}"] = nn.Parameter(matrix.clone())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the `state_dict` of weights that hold at least these. Raises KeyError where one is missing."""
        for name, value in tensors.items():
            group, _, key = name.partition(".")
            if group == "transforms":
                self.transforms[key] = nn.Parameter(value.clone())
        self.load_state_dict({name: tensors[name] for name in self.state_dict()})

    def _take(self, name: str, value: Tensor) -> None:
        key = _key(name)
        if key not in self.weights or self.weights[key].numel() <= value.numel():
            self.weights[key] = nn.Parameter(value.clone())

    def _cut(
        self, whole: nn.ParameterDict | Mapping[str, Tensor], name: str, architecture: Architecture, like: Tensor
    ) -> Tensor:
        key = _key(self._space.shared_name(name, architecture))
        if key not in whole or any(h < w for h, w in zip(whole[key].shape, like.shape, strict=True)):
            raise GenotypeError(f"{self._space.name}: no shared weight holds '{name}' {tuple(like.shape)}")
        cut: Tensor = whole[key][tuple(slice(side) for side in like.shape[:_KERNEL_AXES])]
        while cut.shape[_KERNEL_AXES:] != like.shape[_KERNEL_AXES:]:
            cut = self._centre(key, cut)
        return cut

    def _centre(self, key: str, kernels: Tensor) -> Tensor:
        """(N, C, n + 2, n + 2) to (N, C, n, n)."""
        inner = kernels[..., 1:-1, 1:-1]
        matrix = self.transforms[name] if (name := f"{key}:{inner.shape[-1]}") in self.transforms else None
        return inner if matrix is None else (inner.flatten(-2) @ matrix.T).view(inner.shape)


def _key(name: str) -> str:
    return name.replace(".", "/")  # torch allows no dot in the name of a parameter
