"""Loading of images: decoded once a node, augmented for each step, in processes of their own where cores are free."""
