"""Marks of tests that need OpenMMLab's toolboxes for segmentation and pose, which are optional.

`pip install 'aiop-orchestrator[openmmlab]'`, then `pip install --no-deps mmpose==1.3.2`.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_mmseg = pytest.mark.skipif(find_spec("mmseg") is None, reason="mmsegmentation is not installed")
needs_mmpose = pytest.mark.skipif(find_spec("mmpose") is None, reason="mmpose is not installed")
