"""`python -m chaos_locust.demo.shop STATE`: the process that the supervisor runs."""

from __future__ import annotations

import sys
from pathlib import Path

from chaos_locust.demo.certificates import Certificates
from chaos_locust.demo.service import run_with_tls
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.app import application

if __name__ == "__main__":
    settings = Settings.read(Path(sys.argv[1]))
    ports, certificates = settings.ports, Certificates.of(settings.state)
    run_with_tls(
        application(settings), ports.shop, ports.shop_tls, certificates, weak=settings.has("weak-tls")
    )
