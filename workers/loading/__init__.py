"""Load images: decode them once on each machine and augment them for each step. With a GPU, processes do it."""
