"""The program starts fast: libraries that only some commands need are loaded by these."""

import subprocess
import sys


def test_nothing_heavy_is_loaded_before_a_command_needs_it() -> None:
    heavy = ("torch", "mmdet", "timm", "ray", "scipy")
    code = f"import sys, orchestrator.cli; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_campaigns_are_planned_without_scipy() -> None:
    code = (
        "import sys\n"
        "from orchestrator.campaign.config import CampaignConfig\n"
        "from orchestrator.campaign.plan import plan_campaign\n"
        "for task in ('cls', 'seg'): plan_campaign(CampaignConfig.checked(task=task, num=2))\n"
        "print([m for m in ('scipy', 'sklearn') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
