"""Networks by name, and labels from published results."""
