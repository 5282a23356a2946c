"""mmdet as the engine for boxes, masks and panoptic maps; imported only when `mmdet_loading.load` is called."""
