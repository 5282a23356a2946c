"""Options of the evaluators that make a campaign's labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvaluatorOptions:
    """Options for all evaluators of a campaign; each evaluator uses those that concern it.

    fidelities: of the labels to make. artifacts_uri: location of shared weights and heads, for `open_artifacts`.
    checkpoints_uri: location of checkpoints of unfinished labels, for `open_checkpoints`; none are kept if None.
    weights_uri: location of trained weights that requests ask to keep, by key, for `open_checkpoints`.
    save_images: number of pictures of predictions per label, saved in `images_folder` as TASK-KEY/NUMBER.png.
    latency: device on which the latency of each labelled network is measured too, cpu or cuda; empty: none is measured.
    space: from `space_message`, if a user declared the campaign's space; else empty.
    """

    fidelities: tuple[str, ...] = ()
    artifacts_uri: str | None = None
    checkpoints_uri: str | None = None
    weights_uri: str | None = None
    images_folder: str | None = None
    save_images: int = 0
    space: str = ""
    latency: str = ""
