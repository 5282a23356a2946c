"""What is known about a network before it is trained: its cost, and the errors shared by all rooms."""

from predictor.cost import Cost, measure_cost
from predictor.errors import AIOPError

__all__ = ["AIOPError", "Cost", "measure_cost"]
