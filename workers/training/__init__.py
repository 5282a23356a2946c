"""Training and evaluation of one architecture: the fidelity `full`, and what all training loops share."""
