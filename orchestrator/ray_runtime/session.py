"""Join or start the Ray cluster of a command."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.errors import ConfigError

_CONNECT_S = 5.0


@contextmanager
def ray_session(modules: Sequence[Path] = ()) -> Iterator[str | None]:
    """Join the cluster of RAY_ADDRESS, or start a local Ray, until the block ends; yields the dashboard's address.

    Inside another session it joins that one, which continues afterwards. modules: packages or Python files that a
    cluster's machines get a copy of. Raises ConfigError if that fails.
    """
    ray: Any = importlib.import_module("ray")  # takes seconds to import, and is not needed if there is no work
    if ray.is_initialized():
        yield ray.init(ignore_reinit_error=True).dashboard_url or None
        return
    address = os.environ.get("RAY_ADDRESS")
    copied = {"runtime_env": {"py_modules": [str(path) for path in modules]}} if address and modules else {}
    try:
        check_reachable(address)
        context = ray.init(
            address=address, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False, **copied
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"RAY_ADDRESS={address}" if address else "a local Ray"
        text = " ".join(str(error).split())[:300]
        raise ConfigError(f"{where} cannot be used ({text}): start the cluster, or unset RAY_ADDRESS") from None
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def check_reachable(address: str | None) -> None:
    """Raise OSError if HOST:PORT cannot be reached: Ray would retry for two minutes. Other forms are not checked."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and port.isascii() and len(port) < 6 and int(port) < 2**16 and "/" not in host:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
