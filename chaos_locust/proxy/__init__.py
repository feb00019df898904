"""The embedded proxy: a stand-alone program that speaks Toxiproxy 2.12's HTTP API.

Start it with `python -m chaos_locust.proxy -port 8474`, or call `main`.
"""

from __future__ import annotations

from chaos_locust.proxy.cli import main

__all__ = ["main"]
