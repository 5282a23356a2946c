"""Training targets and predictions of all tasks, as tensors: crop windows, objects, panoptic maps and people."""
