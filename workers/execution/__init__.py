"""Code that runs on a worker's machine: the Ray actor, one attempt at a label, and the checks before it."""
