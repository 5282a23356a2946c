"""The data plane: search spaces, tasks, data sets, training and evaluation. Free of Ray but for `workers.actor`."""
