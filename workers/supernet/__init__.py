"""One set of weights for all architectures of a space, one head for all of them, and labels made from both."""
