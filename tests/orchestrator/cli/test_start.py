"""The program starts fast: libraries that only some commands need are loaded by these."""

import subprocess
import sys


def test_nothing_heavy_is_loaded_before_a_command_needs_it() -> None:
    heavy = ("torch", "mmdet", "timm", "ray", "scipy")
    code = f"import sys, orchestrator.cli; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
