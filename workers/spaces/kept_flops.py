"""FLOPs of sampled networks: counted by all cores, and kept on the machine for the next command."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joblib import Parallel, delayed

from predictor.text_files import parse_json
from workers.code_version import code_version
from workers.messages.architecture import Architecture
from workers.node_folder import node_folder

log = logging.getLogger(__name__)

CountFlops = Callable[[Architecture], float]


class KeptFlops:
    """FLOPs by architecture, of one space with one input size and one set of settings."""

    def __init__(
        self, space: str, image: tuple[int, int], settings: Mapping[str, Any] | None, count: CountFlops
    ) -> None:
        """count: counts the FLOPs of one network; it may be called in another process."""
        name = json.dumps([space, image, dict(settings or {}), code_version()], sort_keys=True, default=str)
        self._path = node_folder() / f"flops-{hashlib.sha256(name.encode()).hexdigest()[:24]}.jsonl"
        self._count, self._known = count, self._read()

    def of(self, architectures: Sequence[Architecture], *, parallel: bool) -> list[float]:
        """Return the FLOPs of each network. parallel: count in several processes, which take seconds to start."""
        missing = [architecture for architecture in architectures if architecture.id not in self._known]
        jobs = -1 if parallel and len(missing) > 1 else 1
        counted: list[float] = Parallel(n_jobs=jobs)(delayed(self._count)(architecture) for architecture in missing)
        new = {architecture.id: flops for architecture, flops in zip(missing, counted, strict=True)}
        self._known |= new
        self._write(new)
        return [self._known[architecture.id] for architecture in architectures]

    def _read(self) -> dict[str, float]:
        known = {}
        try:
            lines = self._path.read_text(errors="replace").splitlines()
        except OSError:
            return {}
        for line in lines:
            try:
                architecture, flops = parse_json(line)
                known[str(architecture)] = float(flops)
            except (ValueError, TypeError):  # cut short by a crash
                continue
        return known

    def _write(self, flops: Mapping[str, float]) -> None:
        if not flops:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.open("a") as file:
                file.write("".join(f"\n{json.dumps(pair)}" for pair in flops.items()))
        except OSError as error:
            log.warning("%s: not written (%s): the next command counts FLOPs again", self._path, error)
