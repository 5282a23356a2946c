"""What a network is trained towards and what it answers: crops, objects, panoptic maps and people, as tensors."""
