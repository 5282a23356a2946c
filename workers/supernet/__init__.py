"""Weight sharing: one set of weights and one head for all architectures of a space, and labels made from both."""
