"""The toxics, by the name they have in the API."""

from __future__ import annotations

from chaos_locust.proxy.toxics.bandwidth import Bandwidth
from chaos_locust.proxy.toxics.base import Toxic
from chaos_locust.proxy.toxics.http import Http
from chaos_locust.proxy.toxics.latency import Latency
from chaos_locust.proxy.toxics.limit_data import LimitData
from chaos_locust.proxy.toxics.noop import Noop
from chaos_locust.proxy.toxics.reset_peer import ResetPeer
from chaos_locust.proxy.toxics.slicer import Slicer
from chaos_locust.proxy.toxics.slow_close import SlowClose
from chaos_locust.proxy.toxics.timeout import Timeout

TOXICS: dict[str, type[Toxic]] = {
    "bandwidth": Bandwidth,
    "http": Http,
    "latency": Latency,
    "limit_data": LimitData,
    "noop": Noop,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "slow_close": SlowClose,
    "timeout": Timeout,
}
