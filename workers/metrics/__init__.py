"""Metrics of detection, panoptic segmentation and pose, computed in memory. All implement `base.Metric`."""
