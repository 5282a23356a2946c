"""The Ray cluster: join or start it, check its nodes, run Ray Train jobs on it."""
