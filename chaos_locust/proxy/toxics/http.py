from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from chaos_locust.proxy.http.settings import HttpSettings
from chaos_locust.proxy.toxics.base import Stage, Toxic


@dataclass
class HttpCounts:
    """Since the toxic was made. requests: seen on the link. matched: of those, by route and method. chosen:
    of those, by toxicity. faulted: of those, to which it has been done. own: probes of chaos-locust, which
    are left alone and counted nowhere else. untouched_connections: which carry no HTTP that can be told."""

    requests: int = 0
    matched: int = 0
    chosen: int = 0
    faulted: int = 0
    own: int = 0
    untouched_connections: int = 0


@dataclass(eq=False)
class Http(Toxic):
    """Acts on HTTP messages, not on links: the toxicity is a share of requests. Toxiproxy has none such."""

    settings: HttpSettings = field(default_factory=HttpSettings)
    counts: HttpCounts = field(default_factory=HttpCounts)
    go_name: ClassVar[str] = "HttpToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage | None:
        return None

    def change(self, attributes: Mapping[str, Any]) -> None:
        """Raises ValueError; then nothing was changed."""
        self.settings = self.settings.changed(attributes)

    def counted(self) -> dict[str, int]:
        return asdict(self.counts)
