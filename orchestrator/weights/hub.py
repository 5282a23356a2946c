"""Download a file from the Hugging Face Hub with its own library: its cache, resumption, proxies and HF_ENDPOINT."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars

from orchestrator.errors import WeightsError


def download_from_hub(repository: str, file: str, mirror: str, remedy: str) -> Path:
    """Return the file of a repository in the hub's cache, downloaded if it is missing there.

    mirror: URL of another hub; $HF_ENDPOINT or the public one if empty. remedy: what to do if it cannot be reached.

    Raises WeightsError if the hub refuses or cannot be reached.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # the last of its retries is reported below
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        return Path(hf_hub_download(repository, file, endpoint=mirror or None))
    except LocalEntryNotFoundError:
        reason = "cannot be reached, and its cache has no such file"
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
    raise WeightsError(f"hub, {file} of {repository}: {reason}: {remedy}")
