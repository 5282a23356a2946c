"""Metadata is written with the keys that earlier versions wrote, and their files are read."""

from __future__ import annotations

import json

import pytest

from predictor.metadata import GenerationMetadata, HoldOutScores, LearnedSet, RefreshOrigin, hold_out_to_json

HOLD_OUT = {
    "set": "s/seg/d",
    "task": "seg",
    "tested": 8,
    "mae": 1.25,
    "spearman": 0.5,
    "kendall": 0.25,
    "regret": 0.0,
    "coverage": None,
}
TRAINED = {
    "model": "default",
    "made": "2026-01-01T00:00:00+00:00",
    "store": "labels",
    "version": 3,
    "labels": 80,
    "without_graph": 2,
    "sets": [
        {"name": "s/seg/d", "task": "seg", "data": "d", "space": "s", "labels": 80, "kind": ["s", "seg", "d", "full"]}
    ],
    "hold_out": [HOLD_OUT],
}
REFRESHED = TRAINED | {"refreshed": {"from": "000001", "new": 40, "replay": None}, "suspects": {"s/seg/d": ["a", "b"]}}


@pytest.mark.parametrize("document", [TRAINED, REFRESHED])
def test_a_document_is_read_and_written_unchanged(document: dict[str, object]) -> None:
    assert json.loads(json.dumps(GenerationMetadata.from_json(document).to_json())) == document


def test_keys_have_plain_names_in_code() -> None:
    metadata = GenerationMetadata.from_json(REFRESHED)
    assert metadata.sets == (
        LearnedSet(name="s/seg/d", task="seg", data="d", space="s", labels=80, kind=("s", "seg", "d", "full")),
    )
    assert metadata.refreshed == RefreshOrigin(champion="000001", new_labels=40)
    assert metadata.outliers == {"s/seg/d": ["a", "b"]}
    assert hold_out_to_json(metadata.hold_out) == [HOLD_OUT]
    assert metadata.hold_out[0] == HoldOutScores(
        set_name="s/seg/d", task="seg", tested=8, mae=1.25, spearman=0.5, kendall=0.25, regret=0.0
    )


def test_early_generations_are_read() -> None:
    """They recorded neither time nor kind, and their files have keys of the model and the format."""
    sets = [{"name": "s/seg/d", "task": "seg", "data": "d", "space": "s", "labels": 80}]
    early = {name: value for name, value in TRAINED.items() if name != "made"} | {"sets": sets}
    metadata = GenerationMetadata.from_json(early | {"format": 1, "sha256": "0", "learnt": {}, "few": []})
    assert metadata.made is None
    assert metadata.sets[0].kind == ()


@pytest.mark.parametrize("document", [[], {"version": 3}, TRAINED | {"version": "x"}])
def test_other_documents_raise_an_error(document: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        GenerationMetadata.from_json(document)
