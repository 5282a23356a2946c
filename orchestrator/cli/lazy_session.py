"""Ray for a command that may have nothing to label: it starts with the first labels, and ends with the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from orchestrator.campaign.config import CampaignConfig
from orchestrator.campaign.driver import keeping_workers, refreshing
from orchestrator.campaign.kept_actors import KeptActors
from orchestrator.cli.output import say
from orchestrator.predictors.refresh.background import BackgroundRefresher
from orchestrator.ray_runtime.session import ray_session
from workers.messages.label import LabelRequest
from workers.spaces.opening import shipped_modules


class LazySession:
    """A Ray session with refreshes of the predictor and workers that stay between rounds. dashboard: its address."""

    def __init__(self, config: CampaignConfig, stack: ExitStack) -> None:
        self._config, self._stack = config, stack
        self._started: tuple[BackgroundRefresher | None, KeptActors | None] | None = None
        self.dashboard: str | None = None

    def start(self, requests: Sequence[LabelRequest]) -> tuple[BackgroundRefresher | None, KeptActors | None]:
        """Start Ray if it was not; return what `label_requests` needs. requests: have the recipes of all labels."""
        if self._started is None:
            self.dashboard = self._stack.enter_context(ray_session(shipped_modules(self._config.space)))
            refreshes = self._stack.enter_context(refreshing(self._config, requests, say))
            self._started = refreshes, self._stack.enter_context(keeping_workers(self._config))
        return self._started


@contextmanager
def lazy_session(config: CampaignConfig) -> Iterator[LazySession]:
    """Yield a session that has not started; end it with the block."""
    with ExitStack() as stack:
        yield LazySession(config, stack)
