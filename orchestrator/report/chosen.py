"""Which groups of labels have charts, and which networks are described one by one: a page has no room for all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from orchestrator.report.comparable import ComparableLabels, LabelledNetwork, pareto_front

MAX_CHARTED = 8
MAX_DESCRIBED = 48
_BEST = 5  # of each group, in addition to the front


def charted_groups(groups: Sequence[ComparableLabels]) -> tuple[ComparableLabels, ...]:
    """Return at most `MAX_CHARTED` groups: trained here, imported, proxies; of each kind the largest first.

    Costs have no chart; they are an axis of the others.
    """
    kinds = {"published": 1, "proxy": 2}
    labels = [group for group in groups if not group.are_costs]
    ordered = sorted(labels, key=lambda group: (kinds.get(group.fidelity, 0), -len(group.networks), group.name))
    return tuple(ordered[:MAX_CHARTED])


def chosen_networks(groups: Sequence[ComparableLabels]) -> dict[tuple[str, str], LabelledNetwork]:
    """Return at most `MAX_DESCRIBED` networks: fronts of value and FLOPs, then the best, then others, of all groups."""
    chosen: dict[tuple[str, str], LabelledNetwork] = {}
    for network in _in_turn([_by_importance(group) for group in groups]):
        if len(chosen) == MAX_DESCRIBED:
            break
        chosen.setdefault(network.identity, network)
    return chosen


def front_by_flops(group: ComparableLabels) -> list[LabelledNetwork]:
    """Return the group's front of value and FLOPs, the cheapest network first."""
    return pareto_front(group.networks, {network.architecture: network.flops for network in group.networks})


def _by_importance(group: ComparableLabels) -> list[LabelledNetwork]:
    return [*reversed(front_by_flops(group)), *group.networks[:_BEST], *group.networks]


def _in_turn(sequences: Sequence[Sequence[LabelledNetwork]]) -> Iterator[LabelledNetwork]:
    """Yield the first of each sequence, then the second of each, and so on."""
    for several in itertools.zip_longest(*sequences):
        yield from (network for network in several if network is not None)
