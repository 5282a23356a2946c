"""The contract of search spaces: checks that every network of a space must pass before labels are made of it.

A check is a function of a space and one of its architectures. It raises ContractViolation, which says what is wrong and
what to do. `check_space` applies all of them to sampled architectures.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from predictor.cost import Cost
from predictor.graph import trace
from workers.errors import SpaceError
from workers.messages.architecture import Architecture
from workers.spaces.base import Backbone, Space
from workers.spaces.build_function import one_line

IMAGES = ((64, 96), (96, 160))  # heights and widths, multiples of 32
_NEIGHBOURS = 5
_ON_META = "compute sizes from shapes, not from values of tensors, and register constant tensors as buffers"


class ContractViolation(Exception):  # noqa: N818 - the term for a broken contract
    """What is wrong with a space, and what to do."""


Check = Callable[[Space, Architecture], None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check on all sampled architectures.

    problem: of the first architecture that failed, in one line that names its genotype; empty if all passed.
    """

    check: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ContractReport:
    """What `check_space` found. costs, strides: of the architectures that can be built."""

    results: tuple[CheckResult, ...]
    architectures: int
    costs: tuple[Cost, ...]
    strides: frozenset[tuple[int, ...]]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not any(result.problem for result in self.results)


def check_space(space: Space, count: int, seed: int = 0, image: tuple[int, int] = (224, 224)) -> ContractReport:
    """Apply all checks to the first `count` architectures of the sequence `seed`. image: for which costs are counted.

    After a failure, a check is not applied to further architectures. One that cannot be built gets no other checks.
    """
    architectures = list(itertools.islice(space.sequence(seed), count))
    problems = {"sampling": _problem(lambda: check_sampling(space, count, seed))}
    problems |= dict.fromkeys(CHECKS, "")
    built = []
    for architecture in architectures:
        problem = _failure(CHECKS["build"], space, architecture)
        problems["build"] = problems["build"] or problem
        if problem:
            continue
        built.append(architecture)
        for name, check in CHECKS.items():
            problems[name] = problems[name] or _failure(check, space, architecture)
    costs = [] if problems["cost"] else [space.cost(architecture, image) for architecture in built]
    strides = frozenset(tuple(space.build(architecture).strides) for architecture in built)
    results = tuple(CheckResult(name, problem) for name, problem in problems.items())
    return ContractReport(results, len(architectures), tuple(costs), strides)


def check_sampling(space: Space, count: int, seed: int) -> None:
    """Sequences of the same seed are equal, and their architectures are distinct."""
    first, again = (list(itertools.islice(space.sequence(seed), count)) for _ in range(2))
    if first != again:
        raise ContractViolation("two sequences of one seed differ: draw with the given generator only")
    if len({tuple(space.encode(architecture)) for architecture in first}) != len(first):
        raise ContractViolation("two architectures of a sequence have the same code: give each genotype its own")


def check_build(space: Space, architecture: Architecture) -> None:
    """The network can be built and has parameters to train."""
    backbone = space.build(architecture)
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        raise ContractViolation("has no parameters to train: add layers, or set requires_grad")


def check_pyramid(space: Space, architecture: Architecture) -> None:
    """The maps have the promised channels and strides, for two sizes of images."""
    backbone = space.build(architecture).eval()
    for height, width in IMAGES:
        expected = [(2, c, height // s, width // s) for c, s in _levels(backbone)]
        shapes = _shapes(backbone, torch.zeros(2, 3, height, width))
        if shapes != expected:
            raise ContractViolation(
                f"gives maps {shapes} for two images of {height}x{width}, not {expected}: pad convolutions so that "
                "maps have the image's size divided by their strides"
            )


def check_fixed_shapes(space: Space, architecture: Architecture) -> None:
    """The shapes do not depend on the values of the image, so that they can be computed without it."""
    backbone = space.build(architecture).eval()
    images = torch.randn(1, 3, *IMAGES[0], generator=torch.Generator().manual_seed(0))
    by_values = [_shapes(backbone, images), _shapes(backbone, torch.zeros_like(images))]
    try:
        by_values.append(_shapes(backbone.to("meta"), images.to("meta")))
    except Exception as error:
        raise ContractViolation(f"cannot run on the meta device ({one_line(error)}): {_ON_META}") from error
    if any(shapes != by_values[0] for shapes in by_values):
        raise ContractViolation(f"the shapes of its maps depend on the values of the image: {_ON_META}")


def check_deterministic(space: Space, architecture: Architecture) -> None:
    """Two builds have the same parameters and buffers, with equal values for equal seeds of torch."""
    first, again = (_build_seeded(space, architecture).state_dict() for _ in range(2))
    if [(n, v.shape) for n, v in first.items()] != [(n, v.shape) for n, v in again.items()]:
        raise ContractViolation("two builds differ in their layers: use nothing but the parameters to choose them")
    if unequal := [n for n, value in first.items() if not torch.equal(value.nan_to_num(), again[n].nan_to_num())]:
        raise ContractViolation(f"'{unequal[0]}' differs between two builds: initialise it with torch's generator")


def check_independent(space: Space, architecture: Architecture) -> None:
    """Two builds share no module, parameter or buffer."""
    first, again = (space.build(architecture) for _ in range(2))
    known = {id(part) for _, part in _parts(first)}
    if shared := [name for name, part in _parts(again) if id(part) in known]:
        raise ContractViolation(f"two builds share '{shared[0]}': create all layers inside the function")


def check_code(space: Space, architecture: Architecture) -> None:
    """Decoding the code gives the architecture."""
    if space.decode(space.encode(architecture)) != architecture:
        raise ContractViolation("encode and decode give another architecture: make decode the inverse of encode")


def check_mutation(space: Space, architecture: Architecture) -> None:
    """Neighbours are of the space and differ in one choice; choices that exist in one of both only do not count."""
    rng, code = random.Random(architecture.id), space.encode(architecture)
    for _ in range(_NEIGHBOURS):
        neighbour = space.encode(space.mutate(architecture, rng))
        changed = sum(a != b for a, b in zip(code, neighbour, strict=True) if min(a, b) >= 0)
        if changed != 1:
            raise ContractViolation(f"a mutation changes {changed} choices, from {code} to {neighbour}: change one")


def check_training(space: Space, architecture: Architecture) -> None:
    """A batch of one image can be trained on: batches are split if memory runs out."""
    backbone = space.build(architecture).train()
    images = torch.randn(1, 3, *IMAGES[0], generator=torch.Generator().manual_seed(0))
    try:
        torch.autograd.backward(sum((level.mean() for level in backbone(images)), torch.zeros(())))
    except (RuntimeError, ValueError) as error:
        raise ContractViolation(
            f"cannot be trained on one image ({one_line(error)}): use no batch norm on pooled maps, and no operation "
            "that autograd cannot differentiate"
        ) from error
    gradients = [parameter.grad for parameter in backbone.parameters() if parameter.grad is not None]
    if not gradients or not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        raise ContractViolation("gives no finite gradients: let every map depend on trained layers")


def check_graph(space: Space, architecture: Architecture) -> None:
    """The network can be traced to a graph. Raises ContractViolation or TraceError."""
    if trace(space.build(architecture), (3, *IMAGES[0])).flops <= 0:
        raise ContractViolation("its graph has no FLOPs: add convolutions or linear layers")


def check_cost(space: Space, architecture: Architecture) -> None:
    """FLOPs are positive, and the parameters are those of the network."""
    cost = space.cost(architecture, IMAGES[0])
    if cost.flops <= 0:
        raise ContractViolation("has no FLOPs: add convolutions or linear layers")
    if cost.params != (built := sum(parameter.numel() for parameter in space.build(architecture).parameters())):
        raise ContractViolation(f"has {cost.params:.0f} parameters on the meta device, {built} otherwise: {_ON_META}")


CHECKS: dict[str, Check] = {
    "build": check_build,
    "pyramid": check_pyramid,
    "fixed shapes": check_fixed_shapes,
    "deterministic": check_deterministic,
    "independent": check_independent,
    "code": check_code,
    "mutation": check_mutation,
    "training": check_training,
    "graph": check_graph,
    "cost": check_cost,
}


def _failure(check: Check, space: Space, architecture: Architecture) -> str:
    """Return the problem of one architecture, with its genotype; empty if it passes."""
    problem = _problem(lambda: check(space, architecture))
    return f"{architecture.genotype} {problem}" if problem else ""


def _problem(check: Callable[[], None]) -> str:
    try:
        check()
    except ContractViolation as violation:
        return str(violation)
    except SpaceError as error:
        return str(error)
    except Exception as error:  # a user's code may raise anything
        return f"fails ({one_line(error)}): fix the function that builds it"
    return ""


def _levels(backbone: Backbone) -> list[tuple[int, int]]:
    return list(zip(backbone.channels, backbone.strides, strict=True))


@torch.no_grad()
def _shapes(backbone: nn.Module, images: Tensor) -> list[tuple[int, ...]]:
    maps: Sequence[Tensor] = backbone(images)
    return [tuple(level.shape) for level in maps]


def _build_seeded(space: Space, architecture: Architecture) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return space.build(architecture)


def _parts(backbone: nn.Module) -> Iterator[tuple[str, object]]:
    yield from backbone.named_modules()
    yield from backbone.named_parameters()
    yield from backbone.named_buffers()
