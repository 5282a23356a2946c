"""The Ray cluster: joining or starting it, checking its nodes, and running Ray Train jobs on it."""
