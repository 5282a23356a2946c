"""Training and evaluating one architecture: the fidelity `full`, and the parts every training loop shares."""
