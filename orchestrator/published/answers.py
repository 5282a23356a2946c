"""Answer a user's question: the predicted labels of named networks, whose labels these are, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from orchestrator.errors import ConfigError
from orchestrator.predictors.label_groups import LabelGroup, label_groups, with_recipe
from orchestrator.published.disagreement import disagreement
from orchestrator.published.label_network import BuildOptions, BuiltNetwork, LabelNetworks
from orchestrator.published.protocols import PROTOCOLS, find_protocol
from predictor import Graph, Predictor
from predictor.errors import AIOPError
from predictor.models import Prediction

FAR = 1.0  # a distance beyond which a graph is unlike the training graphs
# Other labels of the task that are asked too, and for how many of the networks.
_COMPARED_GROUPS, _COMPARED_NETWORKS = 3, 10


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks. data, recipe: of the labels, or of what is built; None to choose those with most labels."""

    models: tuple[str, ...]
    task: str
    data: str | None = None
    options: BuildOptions = field(default_factory=BuildOptions)


@dataclass(frozen=True, slots=True)
class Answer:
    """rows: one for each network, in the order asked; those that failed have `error` only.

    group: whose labels are predicted. notes: what a user must know in addition to the numbers, one line each.
    """

    rows: tuple[dict[str, Any], ...]
    group: LabelGroup
    notes: tuple[str, ...]

    @property
    def failed(self) -> tuple[dict[str, Any], ...]:
        """The rows of networks that could not be built."""
        return tuple(row for row in self.rows if row["error"] is not None)


def answer_question(predictor: Predictor, question: Question) -> Answer:
    """Build the networks and predict their labels.

    Raises ModelError for a task or data set without labels, ConfigError if no network could be built for one and the
    same reason, and AIOPError for a recipe that does not exist.
    """
    group, options, others = _choose_group(predictor, question)
    built, reasons = _build_all(question.models, LabelNetworks(group, options))
    if not built and len(set(reasons.values())) == 1:
        raise ConfigError(next(iter(reasons.values())))
    notes = []
    if options.recipe is not None:
        notes.append(f"built by --recipe {options.recipe}; the predictions are for {group.title}")
    rows: dict[str, dict[str, Any]] = {}
    if built:
        rows, prediction, distance_known = _predicted_rows(predictor, group, built)
        if not distance_known:
            notes.append(
                f"the distance from the training graphs is unknown: this generation has too few of {group.task} on "
                f"{group.data}; if it is of version 0.1, train it again"
            )
        notes += _disagreements(predictor, others, replace(question, options=options), built, prediction)
        notes += [
            f"{model}: {network.graph.incomplete_flops}, so the prediction is for a cheaper network"
            for model, network in built.items()
            if network.graph.uncounted
        ]
        if all(network.recipe is not None for network in built.values()):
            group = by_protocol(group)
    failed = {model: _row(model, group) | {"error": reason} for model, reason in reasons.items()}
    return Answer(tuple((rows | failed)[model] for model in question.models), group, tuple(notes))


def _choose_group(predictor: Predictor, question: Question) -> tuple[LabelGroup, BuildOptions, list[LabelGroup]]:
    """Return the labels to answer for, the options with only the recipe to build, and further labels of the task.

    A recipe that known labels were made with chooses these labels, and their networks are built; any other only says
    what is built. The further labels are those that --data and --recipe would choose and do not.
    """
    predictor.default_data(question.task, question.data)  # raises for what is not known
    groups, options = label_groups(predictor.metadata.sets, question.task), question.options
    named = with_recipe(groups, options.recipe) if options.recipe is not None else []
    if options.recipe is not None and not named and not options.with_head:
        raise ConfigError(f"--head none and --recipe {options.recipe} name two heads: leave one of them out")
    candidates = named or groups
    options = replace(options, recipe=None) if named else options
    asked = question.data or _default_data(predictor, question.task, groups)
    here = [group for group in candidates if group.data == asked]
    if question.data is None and named and not here:
        here = named
    if not here:
        if named:
            raise ConfigError(
                f"--recipe {question.options.recipe}: there are no such labels of {question.task} on {asked}, only on "
                f"{', '.join(group.data for group in named)}: choose with --data"
            )
        # It was adapted to labels of an unknown kind.
        return LabelGroup(question.task, asked, "", "", ()), options, []
    others = [group for group in candidates if group != here[0] and (question.data is None or group.data == asked)]
    return here[0], options, others


def _default_data(predictor: Predictor, task: str, groups: Sequence[LabelGroup]) -> str:
    """Return the data set with most labels; if these are published, the first one of the task that has a protocol.

    Labels that were added to another generation come before those of that generation.
    """
    added = [group.data for group in groups if any(not learned.base for learned in group.sets)]
    if added and len(added) < len(groups):
        return added[0]
    largest, published = predictor.default_data(task), {group.data for group in groups if group.published}
    if largest not in published or any(group.data == largest and not group.published for group in groups):
        return largest
    return next((data for of_task, data in PROTOCOLS if of_task == task and data in published), largest)


def _build_all(models: Sequence[str], networks: LabelNetworks) -> tuple[dict[str, BuiltNetwork], dict[str, str]]:
    """Return the networks by name, and why the others could not be built."""
    built, reasons = dict[str, BuiltNetwork](), dict[str, str]()
    for model in dict.fromkeys(models):
        try:
            built[model] = networks.build(model)
        except AIOPError as error:
            reasons[model] = " ".join(str(error).split())
    return built, reasons


def _predicted_rows(
    predictor: Predictor, group: LabelGroup, built: dict[str, BuiltNetwork]
) -> tuple[dict[str, dict[str, Any]], Prediction, bool]:
    """Return a row for each network, the prediction, and whether distances are known."""
    graphs = [network.graph for network in built.values()]
    groups = [by_protocol(group) if network.recipe is not None else group for network in built.values()]
    prediction = _predict(predictor, graphs, groups)
    distances = predictor.distances(graphs, group.task, group.data)
    rows = {}
    for number, (model, network) in enumerate(built.items()):
        deviation = float(prediction.deviation[number])
        distance = None if distances is None else float(distances[number])
        rows[model] = _row(model, groups[number]) | {
            "mean": float(prediction.mean[number]),
            "deviation": None if deviation != deviation else deviation,  # NaN: the mean only ranks
            "distance": distance,
            "far": None if distance is None else distance > FAR,
            "flops": network.graph.flops,
            "flops_lower_bound": bool(network.graph.uncounted),
            "params": network.graph.params,
            "network": network.title,
            "head": network.head,
            "recipe": network.recipe,
            "input_size": list(network.input_size),
        }
    return rows, prediction, distances is not None


def _predict(predictor: Predictor, graphs: Sequence[Graph], groups: Sequence[LabelGroup]) -> Prediction:
    """Predict the label of each network, as one of its group."""
    mean, deviation = np.empty(len(graphs)), np.empty(len(graphs))
    for group in [one for row, one in enumerate(groups) if one not in groups[:row]]:
        rows = [row for row, own in enumerate(groups) if own == group]
        of_group = [graphs[row] for row in rows]
        name = {"set_name": group.sets[0].name} if len(group.sets) == 1 else {}
        found = predictor.predict(of_group, group.task, group.data, group.recipes, **name)
        mean[rows], deviation[rows] = found
    return Prediction(mean, deviation)


def by_protocol(group: LabelGroup) -> LabelGroup:
    """Return the published labels that were made by the protocol of the data set; the group if none are known."""
    protocol = find_protocol(group.task, group.data) if group.published else None
    if protocol is None or not protocol.space:
        return group
    of_recipe = next(iter(with_recipe([group], protocol.labels)), None) if protocol.labels else group
    sets = tuple(learned for learned in of_recipe.sets if learned.space == protocol.space) if of_recipe else ()
    return replace(group, sets=sets) if sets else group


def _row(model: str, group: LabelGroup) -> dict[str, Any]:
    """Return a row without results."""
    numbers = ("mean", "deviation", "distance", "far", "flops", "flops_lower_bound", "params")
    empty = (*numbers, "network", "head", "recipe", "input_size")
    labels = {"fidelity": group.fidelity, "recipe": group.recipe, "number": group.labels}
    sets = [learned.name for learned in group.sets]
    return {"model": model, **dict.fromkeys(empty), "data": group.data, "labels": labels, "sets": sets, "error": None}


def _disagreements(
    predictor: Predictor,
    others: Sequence[LabelGroup],
    question: Question,
    built: dict[str, BuiltNetwork],
    prediction: Prediction,
) -> list[str]:
    """Return a line for each of the largest other groups of labels that answers differently for these networks."""
    models, lines = list(built)[:_COMPARED_NETWORKS], []
    first = Prediction(prediction.mean[: len(models)], prediction.deviation[: len(models)])
    for group in others[:_COMPARED_GROUPS]:
        other, reasons = _build_all(models, LabelNetworks(group, question.options))
        if reasons:  # labels of networks that these cannot be made into
            continue
        graphs = [network.graph for network in other.values()]
        second = _predict(predictor, graphs, [group] * len(graphs))
        if (difference := disagreement(first, second)) is not None:
            lines.append(f"another set {difference}: {group.title}: choose with {_option(group)}")
    return lines


def _option(group: LabelGroup) -> str:
    """Return the options that choose a group."""
    return f"--data {group.data}" + (f" --recipe {group.recipe}" if group.recipe else "")
