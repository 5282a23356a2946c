"""Networks by name, and published results of them as labels."""
