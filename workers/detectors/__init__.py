"""mmdet's detectors as heads for det, iseg and pano, and as reference networks.

Only `mmdet_loading.load` imports mmdet, which takes seconds.
"""
