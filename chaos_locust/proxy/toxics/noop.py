from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Stage, Toxic


@dataclass
class Noop(Toxic):
    """Does nothing."""

    go_name: ClassVar[str] = "NoopToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage | None:
        return None
