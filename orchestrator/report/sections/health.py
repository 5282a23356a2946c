"""Checks of labels, predictor and workers, with advice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from orchestrator.campaign.reliability import MEANINGFUL, mean_agreement
from orchestrator.report.blocks import Finding, SectionBody
from orchestrator.report.comparable import ComparableLabels
from orchestrator.report.contents import ReportContents
from orchestrator.report.section import Section
from orchestrator.report.worker_time import busy_share

_MIN_NETWORKS = 20
_MIN_FLOPS_RATIO = 1.5  # of the largest and the smallest network
_TIED = 0.2  # share of labels that equal the best or the worst one
_MIN_LABELS = 10  # fewer say nothing about ties
_MIN_BUSY = 0.5
_MAX_FAILED = 0.1
_NAMED = 3


def _build(contents: ReportContents) -> SectionBody:
    if not contents.rows:
        return SectionBody(missing="Nothing to check yet: make labels with `orchestrator label --task seg`.")
    findings = [check(contents) for check in _CHECKS]
    return SectionBody(findings, {"checks": [asdict(finding) for finding in findings]})


def noise(contents: ReportContents) -> Finding:
    """Whether seeds rank networks alike."""
    name = "Agreement of seeds"
    measured = {group: agreement for group in contents.groups if (agreement := _agreement(group)) is not None}
    if not measured:
        advice = "Label some networks with a second seed: `orchestrator label --repeat 2`."
        return Finding("unknown", name, "No three networks have labels of several seeds.", advice)
    noisy, lowest = [group for group, rho in measured.items() if rho < MEANINGFUL], min(measured.values())
    if noisy:
        ways = ["Use means of more seeds (`--repeat 4`)", "evaluate more images (`--set eval_images=N`)"]
        longer = "train longer (`--set steps=N`)"
        cheap = any(group.fidelity != "full" for group in noisy)
        ways += [longer, "or use `--fidelity full`"] if cheap else [f"or {longer}"]
        advice = f"{', '.join(ways)}."
        found = (
            f"Means over the seeds would correlate with those over other seeds by less than {MEANINGFUL}: "
            f"{_names(noisy)}; the lowest is {lowest:.3f}."
        )
        return Finding("warning", name, found, advice)
    return Finding(
        "good", name, f"Means over the seeds would correlate with those over others by {lowest:.3f} or more."
    )


def _agreement(group: ComparableLabels) -> float | None:
    """Return the rank correlation to expect of means over the seeds with means over other seeds; None if unknown."""
    reliability = group.statistics["reliability"]
    if not reliability or reliability["spearman"] is None:
        return None
    return mean_agreement(reliability["spearman"], reliability["seeds"])


def sample(contents: ReportContents) -> Finding:
    """Whether the sample is wide enough to learn from."""
    name, groups = "Width of the sample", _made_here(contents)
    if not groups:
        return Finding("unknown", name, "All labels are imported.", "")
    few = [group for group in groups if len(group.networks) < _MIN_NETWORKS]
    if few:
        found = f"Fewer than {_MIN_NETWORKS} networks: {_names(few)}."
        return Finding(
            "warning", name, found, f"Label at least {_MIN_NETWORKS} networks: `orchestrator label --num 32`."
        )
    narrow = [group for group in groups if _flops_ratio(group) < _MIN_FLOPS_RATIO]
    if narrow:
        found = (
            f"The largest network has less than {_MIN_FLOPS_RATIO} times the FLOPs of the smallest: {_names(narrow)}."
        )
        return Finding("warning", name, found, "Sample by FLOPs (`--sample stratified`), or choose a larger space.")
    ratio = min(map(_flops_ratio, groups))
    return Finding(
        "good",
        name,
        f"Every group has {_MIN_NETWORKS} networks or more, and FLOPs that differ by a factor of {ratio:.1f} or more.",
    )


def saturation(contents: ReportContents) -> Finding:
    """Whether labels differ at their best and worst."""
    name = "Saturation"
    groups = [group for group in contents.groups if len(group.rows) >= _MIN_LABELS and not group.are_costs]
    if not groups:
        return Finding(
            "unknown", name, f"No group has {_MIN_LABELS} labels.", "Label more: `orchestrator label --num 32`."
        )
    saturated = [group for group in groups if _tied_share(group) > _TIED]
    if saturated:
        found = f"More than {_TIED:.0%} of the labels equal the best or the worst one: {_names(saturated)}."
        return Finding("warning", name, found, "Choose harder data, evaluate more images, or another number of steps.")
    return Finding(
        "good", name, f"At most {max(map(_tied_share, groups)):.0%} of the labels of a group equal its best or worst."
    )


def predictor(contents: ReportContents) -> Finding:
    """Whether the predictor ranks held-out labels better than their FLOPs."""
    name, held_out = "Predictor against FLOPs", contents.held_out
    if held_out.missing:
        return Finding("unknown", name, held_out.missing)
    pairs = [(one, abs(one.flops)) for one in held_out.sets if one.flops is not None]
    worse = [one.labels.name for one, flops in pairs if one.scores.spearman <= flops]
    tested = sum(len(one.labels) for one in held_out.sets)
    if worse:
        shown = ", ".join(worse[:_NAMED]) + (f" and {len(worse) - _NAMED} more" if len(worse) > _NAMED else "")
        found = f"On {len(worse)} of {len(pairs)} label sets of the hold-out FLOPs rank as well or better: {shown}."
        return Finding(
            "warning", name, found, "Label what it would learn most from: `orchestrator label --choose diverse`."
        )
    return Finding("good", name, f"It ranks the {tested} held-out labels of {len(held_out.sets)} sets better.")


def workers(contents: ReportContents) -> Finding:
    """Whether workers were busy in the newest campaign."""
    name, share = "Work of the workers", busy_share(contents.attempts)
    if share is None:
        return Finding("unknown", name, "No campaign has enough attempts to tell.", "")
    found = f"Workers of the newest campaign were busy for {share:.0%} of the time, if as many as ever worked at once."
    if share < _MIN_BUSY:
        return Finding(
            "warning", name, found, "Give them more labels at once (`--num`), or fewer workers (`--workers`)."
        )
    return Finding("good", name, found)


def failures(contents: ReportContents) -> Finding:
    """Whether attempts succeed."""
    name, attempts = "Attempts", contents.attempts
    if not attempts:
        return Finding("unknown", name, "There were no attempts.", "")
    failed = sum(attempt["outcome"] != "ok" for attempt in attempts)
    found = f"{failed:,} of {len(attempts):,} attempts failed."
    if failed > _MAX_FAILED * len(attempts):
        return Finding("warning", name, found, "See the section on failures for their kinds and messages.")
    return Finding("good", name, found)


_CHECKS: Sequence[Callable[[ReportContents], Finding]] = (noise, sample, saturation, predictor, workers, failures)


def _made_here(contents: ReportContents) -> list[ComparableLabels]:
    return [group for group in contents.groups if group.fidelity in ("full", "shared")]


def _flops_ratio(group: ComparableLabels) -> float:
    flops = [network.flops for network in group.networks]
    return max(flops) / max(min(flops), 1.0)


def _tied_share(group: ComparableLabels) -> float:
    values = [row["value"] for row in group.rows]
    return max(values.count(max(values)), values.count(min(values))) / len(values)


def _names(groups: Sequence[ComparableLabels]) -> str:
    more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
    return "; ".join(group.title for group in groups[:_NAMED]) + more


SECTION = Section("health", "Health checks", _build)
