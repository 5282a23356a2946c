"""Graph neural networks and their training."""
