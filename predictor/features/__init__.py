"""Features of graphs: one vector per node for graph networks, one vector per graph for tabular models."""
