"""`python -m chaos_locust.demo.shop STATE`: the process that the supervisor runs."""

from __future__ import annotations

import sys
from pathlib import Path

from chaos_locust.demo.service import run
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.app import application

if __name__ == "__main__":
    settings = Settings.read(Path(sys.argv[1]))
    run(application(settings), settings.ports.shop)
