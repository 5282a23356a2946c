"""The data plane: spaces, tasks, data sets, training and evaluation. Only `workers.execution.actor` imports Ray."""
