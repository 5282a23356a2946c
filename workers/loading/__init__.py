"""Loading of images: decoded once a node, augmented for each step, in separate processes beside a GPU."""
