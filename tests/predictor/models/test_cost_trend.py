"""Networks of a space that no source task covers are ranked by what larger networks gained elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictor.label_set import LabelSet
from predictor.models.cost_trend import CostTrend
from predictor.models.scaling import standard_scores
from tests.support.synthetic_sets import label_set

BY_FLOPS = [1.0, 0.0, 0.0, 0.0, 0.0]


def fitted(*sets: LabelSet) -> CostTrend:
    return CostTrend.fit(sets, [standard_scores(one.values) for one in sets])


def test_the_trend_follows_flops_where_labels_do() -> None:
    first, second = (label_set(f"{space}/seg/x", 100, BY_FLOPS) for space in "ab")
    query = label_set("c/seg/x", 100, BY_FLOPS, first=500)
    trend = fitted(first, second)
    assert spearmanr(trend.scores(query), query.values)[0] > 0.8
    assert trend.variance < 0.8


def test_errors_are_those_in_spaces_left_out() -> None:
    one = label_set("a/seg/x", 100, BY_FLOPS)
    other = replace(one, space="b", name="b/seg/x", values=-one.values)
    assert fitted(one, other).variance > 1.0  # each misleads about the other
    assert fitted(one).variance == 1.0  # there is no other space


def test_spaces_count_equally_however_many_sets_they_have() -> None:
    one = label_set("a/seg/x", 100, BY_FLOPS)
    copies = [replace(one, name=f"a/seg/{number}") for number in range(5)]
    other = replace(one, space="b", name="b/seg/x", values=-one.values)
    assert fitted(*copies, other).slopes == pytest.approx(np.zeros(2), abs=1e-9)


def test_it_is_restored_exactly() -> None:
    query = label_set("c/seg/x", 10, BY_FLOPS, first=500)
    trend = fitted(label_set("a/seg/x", 100, BY_FLOPS))
    assert np.array_equal(CostTrend.restore(trend.state()).scores(query), trend.scores(query))
