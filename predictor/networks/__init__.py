"""Networks that read graphs, and how they learn."""
