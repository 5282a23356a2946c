"""The format `coco:DIR`: boxes, masks, joints and panoptic segments in COCO's JSON files and PNGs."""

from workers.data.coco import dataset  # noqa: F401 - registers the format
