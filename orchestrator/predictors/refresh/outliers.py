"""New labels that the champion finds hard to believe: they are told, and pull no further than a believable one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.label_set import Floats
from predictor.models.base import Prediction

_FAR = 4.0  # deviations from what was expected
_HELD = 3.0  # where such a label is held
_FEWEST = 8  # new labels of a set that can be judged
_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class OutlierCheck:
    """values: (n,) to learn from. suspect: (n,) which of them were moved."""

    values: Floats
    suspect: NDArray[np.bool_]


def judge(expected: Prediction, values: Floats, fresh: NDArray[np.bool_]) -> OutlierCheck:
    """What is to be learnt from labels of one set, (n,), and what the champion had said of them.

    fresh: those that are new; the others were suspect before, and are asked about again. Deviations are the champion's
    own, or as many times those as the middle half of the new labels misses by: where all are surprising, it is the
    champion that is wrong. A label that is held keeps its direction, so a true one is learnt over a few generations,
    and one that is noise does little harm.
    """
    if not np.isfinite(expected.deviation).all():
        return OutlierCheck(values, np.zeros(len(values), np.bool_))
    missed, enough = np.abs(values - expected.mean) / expected.deviation, fresh.sum() >= _FEWEST
    unit = max(1.0, _TO_DEVIATION * float(np.median(missed[fresh]))) if enough else 1.0
    suspect = (missed > _FAR * unit) & (enough | ~fresh)
    reach = _HELD * unit * expected.deviation
    return OutlierCheck(
        np.where(suspect, np.clip(values, expected.mean - reach, expected.mean + reach), values), suspect
    )
