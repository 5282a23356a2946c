"""Numbers of a graph: per node for networks on graphs, per graph for models on tables."""
