"""One set of weights for all architectures of a space."""

from workers.supernet.calibration import calibrate
from workers.supernet.weights import SharedWeights

__all__ = ["SharedWeights", "calibrate"]
