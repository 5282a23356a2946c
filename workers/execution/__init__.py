"""What runs on a worker's machine: the Ray actor, one attempt at one label, and the checks before it."""
