"""Training of shared weights: by the sandwich rule with in-place distillation, or by uniform sampling alone.

Sandwich rule: Yu and Huang, Universally Slimmable Networks, ICCV 2019; Yu et al., BigNAS, ECCV 2020. Uniform sampling:
Guo et al., Single Path One-Shot, ECCV 2020.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from predictor.distributed import average_gradients
from workers.data.base import Vocabulary
from workers.loading.batches import ImageSplit
from workers.messages.architecture import Architecture
from workers.messages.shared_recipe import SupernetRecipe
from workers.spaces.base import Space
from workers.spaces.shared_weights import SharedWeights
from workers.spaces.skeletons import Skeletons
from workers.tasks.base import LogitTask
from workers.training.depthwise import use_fast_depthwise_backward
from workers.training.full import Network, build_network, device_of, initialise
from workers.training.normalisation import Normalisation
from workers.training.optimization import Optimization


class Supernet:
    """Shared weights of backbones and of the heads they are trained with, their optimizer and their moving average.

    Training is deterministic: with the same seed and number of steps the weights are equal, also after interruptions.
    If the recipe has several workers, each has its own supernet and they form a process group of torch.
    """

    def __init__(
        self, space: Space, task: LogitTask, vocabulary: Vocabulary, recipe: SupernetRecipe, rank: int = 0
    ) -> None:
        """rank: number of this worker, from 0; it trains on that part of each batch."""
        self._space, self._task, self._recipe, self._seed = space, task, recipe, recipe.seed
        self._build: Callable[[Architecture], Network] = lambda a: build_network(a, recipe, task, vocabulary)
        networks = [(architecture, self._build(architecture)) for architecture in space.covering_architectures()]
        for _, network in networks:
            initialise(network, recipe.seed)
        self._skeletons = Skeletons(space, recipe.body, use_fast_depthwise_backward)
        self._heads: dict[tuple[int, ...], nn.Module] = {}  # without weights, by the channels of their input
        self._vocabulary = vocabulary
        self._device, self._rank = device_of(recipe), rank
        self.shared = SharedWeights(space, networks).to(self._device)
        self.step = 0
        self._optimization = Optimization(self.shared, recipe)
        self._largest = networks[-1][0]

    @property
    def averaged(self) -> SharedWeights:
        """The moving average of the weights, which labels use."""
        return self._optimization.averaged

    def train(self, data: ImageSplit) -> Iterator[tuple[int, float]]:
        """Train up to the recipe's last step.

        Yields after each step its number, from 1, and the loss of its first network; `state` may be read then.

        Raises DivergedFailure if the loss is not finite.
        """
        recipe = self._recipe
        rank = self._rank if recipe.workers > 1 else None
        batches = data.training(recipe.steps, self._seed, self.step, recipe.workers, rank)
        for step, (batch,) in enumerate(batches, self.step):
            loss = self._train_step(batch.images, batch.target, step)
            self.step = step + 1
            yield self.step, float(loss)

    def _train_step(self, images: Tensor, target: Tensor, step: int) -> Tensor:
        """Train for one step. Returns the loss of its first network."""
        first, *others = self._sample_networks(step)
        logits = self._logits(first, images)
        loss = self._task.loss_from_logits(logits, target)
        torch.autograd.backward(loss)
        teacher = logits.detach().softmax(1)  # the outputs of the largest network, by the sandwich rule
        for architecture in others:
            torch.autograd.backward(self._student_loss(self._logits(architecture, images), target, teacher))
        if self._recipe.workers > 1:
            average_gradients(self.shared.parameters())
        self._optimization.step(step, loss.detach())
        return loss.detach()

    def _student_loss(self, logits: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of a network after the first: distillation from the first, the target loss, or a mix."""
        weight = self._recipe.distill if self._recipe.sandwich else 0.0
        if weight == 1:
            return F.cross_entropy(logits, teacher)
        target_loss = self._task.loss_from_logits(logits, target)
        return target_loss if weight == 0 else weight * F.cross_entropy(logits, teacher) + (1 - weight) * target_loss

    def _logits(self, architecture: Architecture, images: Tensor) -> Tensor:
        skeleton = self._skeleton(architecture)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._recipe.precision == "bfloat16"):
            logits = self.shared.run(architecture, skeleton, images)
        assert isinstance(logits, Tensor)
        return logits.float()

    def _skeleton(self, architecture: Architecture) -> Network:
        """Return a network without weights. Its parts are used again in other networks."""
        backbone = self._skeletons.build(architecture)
        if backbone.channels not in self._heads:
            with torch.device("meta"):
                head = self._task.build_head(backbone.channels, backbone.strides, self._vocabulary, self._recipe.head)
            use_fast_depthwise_backward(head)
            self._heads[backbone.channels] = head
        return Network(backbone, self._heads[backbone.channels], Normalisation.of(self._recipe, backbone))

    def _sample_networks(self, step: int) -> list[Architecture]:
        """Return the networks of a step: the largest and any smallest by the sandwich rule, then sampled ones."""
        rng = random.Random(f"{self._seed}/{step}")
        smallest = self._space.smallest_architecture()
        always = [self._largest, *([smallest] if smallest else [])] if self._recipe.sandwich else []
        return [*always, *(self._space.sample(rng) for _ in range(self._recipe.sampled))]

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that further training depends on, by name. Recipe and seed are not included."""
        tensors = {f"weights.{k}": v.detach() for k, v in self.shared.named_parameters()}
        tensors |= {f"averaged.{k}": v.detach() for k, v in self._optimization.averaged.named_parameters()}
        for name, parameter in self.shared.named_parameters():
            for field, value in self._optimization.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{field}.{name}"] = value
        return tensors | {"step": torch.tensor(self.step)}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a `state` of the same space, recipe and seed. Raises KeyError if a tensor is missing."""
        for name, parameter in self.shared.named_parameters():
            parameter.copy_(tensors[f"weights.{name}"])
            fields = [key for key in tensors if key.startswith("optimizer.") and key.endswith(f".{name}")]
            self._optimization.optimizer.state[parameter] = {key.split(".")[1]: tensors[key].clone() for key in fields}
        for name, parameter in self._optimization.averaged.named_parameters():
            parameter.copy_(tensors[f"averaged.{name}"])
        self.step = int(tensors["step"])
