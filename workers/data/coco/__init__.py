"""`coco:DIR`: boxes, masks, joints and panoptic segments in COCO's JSON files."""
