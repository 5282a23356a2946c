"""mmdet as the engine for boxes, masks and panoptic maps. Nothing here imports mmdet before `engine.load` is called."""
