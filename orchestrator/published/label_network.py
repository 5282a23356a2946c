"""Build the network that a label of a group is of, for any name: a backbone gets the head and input size of the labels.

Whole networks, such as mmdet:CONFIG or FILE.onnx, get no head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_groups import LabelGroup
from orchestrator.predictors.labelled_networks import VocabularySize, build_for_task, data_size, recorded_size
from orchestrator.published.named_networks import open_network
from orchestrator.published.protocols import find_protocol
from predictor.errors import AIOPError
from predictor.graph import Graph, TraceError, trace
from predictor.metadata import LearnedSet
from workers.detectors.head import DetectorHead
from workers.detectors.reference_detectors import TraceableDetector
from workers.messages.architecture import Architecture
from workers.messages.recipe import Recipe
from workers.messages.recipe_files import load_recipe, shipped_recipes
from workers.spaces import get_space, open_space
from workers.spaces.base import space_names
from workers.spaces.names import architecture_named
from workers.spaces.opening import is_space_file
from workers.tasks import get_task, task_names
from workers.training.full import Network

_HEADS = {"cls": "linear", "seg": "semantic_fpn", "pose": "deconvolution"}  # of tasks without an mmdet configuration
_OWN = "own head"

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class BuiltNetwork:
    """A network with what was built. head, recipe: None for a network as it is. input_size: height and width."""

    backbone: str
    head: str | None
    recipe: str | None
    input_size: tuple[int, int]
    graph: Graph

    @property
    def title(self) -> str:
        """Backbone, head and input size in one short line."""
        return f"{self.backbone} + {self.head or _OWN}, {self.input_size[0]}x{self.input_size[1]}"


@dataclass(frozen=True, slots=True)
class AssembledNetwork:
    """A network that is not traced yet.

    head, recipe, vocabulary: None for a network as it is. input_size: channels, height and width.
    """

    backbone: str
    head: str | None
    recipe: Recipe | None
    vocabulary: VocabularySize | None
    input_size: tuple[int, int, int]
    network: nn.Module

    def traced(self) -> BuiltNetwork:
        """Trace the network. Raises AIOPError if that is not possible."""
        try:
            graph = trace(self.network, self.input_size)
        except TraceError as error:  # begins with the name of a class, which users do not know
            raise ConfigError(f"{self.backbone}: {str(error).partition(': ')[2]}") from error
        recipe = None if self.recipe is None else self.recipe.name
        return BuiltNetwork(self.backbone, self.head, recipe, self.input_size[1:], graph)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a user asks for. recipe: a tier or file whose head and size are built instead of the labels'.

    with_head: False to build networks without the labels' head. input_size: channels, height and width to trace at.
    device: another one than meta for networks that are run, with weights as their constructors draw them.
    """

    recipe: str | None = None
    with_head: bool = True
    input_size: tuple[int, int, int] | None = None
    device: str = "meta"


class LabelNetworks:
    """Builds the networks that labels of one group are of."""

    def __init__(self, group: LabelGroup, options: BuildOptions) -> None:
        """Raises AIOPError for an unknown recipe, or one of another task."""
        self._group, self._options = group, options
        if options.recipe is not None:
            self._load_recipe(options.recipe, "zoo")  # an error in it is the same for all networks

    def build(self, name: str) -> BuiltNetwork:
        """Build and trace the network of a name. Raises AIOPError, in one line, if that is not possible."""
        return self.assemble(name).traced()

    def assemble(self, name: str) -> AssembledNetwork:
        """Build the network of a name. Raises AIOPError, in one line, if that is not possible."""
        architecture = backbone_named(name) if self._options.with_head else None
        if architecture is None or (self._group.whole and self._options.recipe is None):
            return self._whole(name, self._size_of_sets(name))
        if self._options.recipe is not None:
            recipe = self._load_recipe(self._options.recipe, architecture.space)
            return self._with_head(name, architecture, recipe)
        if self._group.published:
            return self._published(name, architecture)
        return self._with_head(name, architecture, self._labels_recipe(architecture.space))

    def _published(self, name: str, architecture: Architecture) -> AssembledNetwork:
        """Build what a published label of a network is of."""
        kind = "timm" if architecture.space == "zoo" else architecture.space
        if any(learned.space == kind for learned in self._group.sets):
            return self._whole(name, self._size_of_sets(name))
        protocol = find_protocol(self._group.task, self._group.data)
        if protocol is None:
            raise ConfigError(
                f"model '{name}': the labels of {self._group.task} on {self._group.data} are of whole networks of "
                f"{self._spaces()}: name one of these, or choose with --recipe or --head none what is built"
            )
        if not protocol.recipe:
            return self._whole(name, protocol.input_size)
        return self._with_head(name, architecture, self._load_recipe(protocol.recipe, architecture.space))

    def _whole(self, name: str, labels_size: tuple[int, int] | None) -> AssembledNetwork:
        """Build a network as it is, at the given input size, its only one, or that of the labels."""
        kind, _, rest = name.partition(":")
        named = open_network(f"timm:{rest}" if kind == "zoo" else name)
        network = _built(name, lambda: named.build(self._options.device))
        size = self._options.input_size or _only_size(network)
        if size is None and labels_size is not None:
            size = (3, *labels_size)
        if size is None:
            raise ConfigError(
                f"model '{name}': this generation does not record the image size of its labels of {self._group.task} "
                f"on {self._group.data}: give --input-size, or train it again"
            )
        return AssembledNetwork(_short_name(name), None, None, None, size, network)

    def _with_head(self, name: str, architecture: Architecture, recipe: Recipe) -> AssembledNetwork:
        """Build a backbone with the head of a recipe."""
        size = self._options.input_size or (3, *recipe.input_size)
        numbers = self._vocabulary_size()
        network = _built(
            name, lambda: build_for_task(architecture, recipe, self._group.task, numbers, self._options.device)
        )
        form = _AsPublished(network) if self._group.published else network
        return AssembledNetwork(_short_name(name), _head_name(recipe), recipe, numbers, size, form)

    def _labels_recipe(self, space: str) -> Recipe:
        """Return the recipe of the group's labels, with the settings of the backbone for a space."""
        recorded = {learned.space: learned.networks.recipe for learned in self._group.sets if learned.networks}
        if not recorded:
            raise ConfigError(
                f"labels of {self._group.task} on {self._group.data}: this generation does not record how their "
                "networks are built: train it again, or choose with --recipe or --head none what is built"
            )
        if space in recorded:
            return Recipe.model_validate(recorded[space])
        fields = next(iter(recorded.values()))
        return Recipe.model_validate(fields | {"body": _shipped_body(fields, space)})

    def _load_recipe(self, text: str, space: str) -> Recipe:
        """Return a recipe by its tier, name or file. Raises AIOPError if it is not of the group's task."""
        owner, _, tier = text.partition(".")
        if text in shipped_recipes() and owner in task_names() and owner != self._group.task:
            raise ConfigError(f"--recipe {text}: is for task {owner}, not {self._group.task}: choose another recipe")
        return load_recipe(tier if owner == self._group.task and tier else text, self._group.task, space)

    def _vocabulary_size(self) -> VocabularySize:
        """Return the numbers of classes and joints: as recorded, of a published data set, or of the data set itself."""
        for learned in self._group.sets:
            if (size := recorded_size(learned)) is not None:
                return size
        protocol = find_protocol(self._group.task, self._group.data)
        if protocol is not None:
            return protocol.size
        try:
            return data_size(self._group.data, self._group.task)
        except AIOPError as error:
            raise ConfigError(
                f"labels of {self._group.task} on {self._group.data}: the number of classes is not recorded, and the "
                f"data set cannot be read ({error}): train again, or choose --head none"
            ) from None

    def _size_of_sets(self, name: str) -> tuple[int, int] | None:
        """Return the image size of the labels, if there are any of networks of the same kind; None if not recorded."""
        kind = name.partition(":")[0]
        kind = "timm" if kind == "zoo" else kind
        sets = [learned for learned in self._group.sets if learned.networks and learned.networks.recipe]
        own = [learned for learned in sets if learned.space == kind or learned.space.startswith(f"{kind}-")]
        if not sets:
            protocol = find_protocol(self._group.task, self._group.data)
            return protocol.input_size if protocol else None
        height, width = _networks_recipe((own or sets)[0])["input_size"]
        return int(height), int(width)

    def _spaces(self) -> str:
        return ", ".join(sorted({learned.space for learned in self._group.sets}))


class _AsPublished(nn.Module):
    """A backbone and a head in the form in which published networks are traced, so that their graphs are alike.

    Images are normalised before; a detector's second stage gets one region, see `TraceableDetector`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body, self.head = network.body, network.head
        self._detector = TraceableDetector(self.head.detector) if isinstance(self.head, DetectorHead) else None

    def forward(self, images: Tensor) -> Any:
        """Return the raw outputs of the head."""
        pyramid = self.body(images)
        return self.head(pyramid) if self._detector is None else self._detector.outputs(pyramid)


def backbone_named(name: str) -> Architecture | None:
    """Return the architecture of a backbone's name; None for names of whole networks.

    A tag of pretrained weights after a dot does not change the network. Raises AIOPError for a genotype outside the
    space.
    """
    kind, _, rest = name.partition(":")
    if is_space_file(kind):
        return open_space(kind).parse(rest)
    if kind in ("timm", "zoo") and rest and not rest.startswith("{"):
        architecture = Architecture.of("zoo", {"model": rest.partition(".")[0]})
        get_space("zoo").check(architecture.values)
        return architecture
    return architecture_named(name) if rest and kind in space_names() else None


def _built(name: str, build: Callable[[], AnyModule]) -> AnyModule:
    """Return what `build` returns. Raises AIOPError, whatever a network's constructor raises."""
    try:
        return build()
    except AIOPError:
        raise
    except Exception as error:  # such as a constructor that reads the values of its weights
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(f"model '{name}': cannot be built without its weights ({text}): name another") from error


def _networks_recipe(learned: LearnedSet) -> dict[str, Any]:
    assert learned.networks is not None
    return learned.networks.recipe


def _shipped_body(fields: dict[str, Any], space: str) -> dict[str, Any]:
    """Return the settings of a backbone for a space in which nothing was labelled: the shipped recipe's, if it is one.

    Otherwise the space's defaults.
    """
    task, _, tier = str(fields["name"]).removesuffix(".shared").partition(".")
    if task != fields["task"] or f"{task}.{tier}" not in shipped_recipes():
        return {}
    return dict(load_recipe(tier, task, space).body)


def _head_name(recipe: Recipe) -> str:
    """Return a short name: of an mmdet head its folder of configurations, such as faster_rcnn."""
    config = recipe.head.get("config") or getattr(get_task(recipe.task), "config", None)
    if config is None:
        return _HEADS.get(recipe.task, recipe.task)
    return Path(str(config)).parent.name or Path(str(config)).stem


def _short_name(name: str) -> str:
    """Return the model's name of timm, the last part of a path, or the space of a genotype."""
    kind, _, rest = name.partition(":")
    if kind in ("timm", "zoo"):
        return rest
    if kind in space_names() or is_space_file(kind):
        return Path(kind).stem
    return Path(rest or name).stem


def _only_size(network: nn.Module) -> tuple[int, int, int] | None:
    """Return the input size of a timm network that takes no other; None for networks that do."""
    settings: Any = getattr(network, "pretrained_cfg", None) or {}
    if not settings.get("fixed_input_size"):
        return None
    channels, height, width = settings["input_size"]
    return int(channels), int(height), int(width)
