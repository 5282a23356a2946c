"""The generation that comes with the package: `default`, trained on published results. See README.md in this folder."""

from pathlib import Path

FOLDER = Path(__file__).parent
