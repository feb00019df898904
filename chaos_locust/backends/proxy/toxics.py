"""What each fault on a link is in Toxiproxy's words. Pure."""

from __future__ import annotations

from typing import Any

from chaos_locust.backends.base import MARK
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault, ProxyFault
from chaos_locust.faults.network import (
    Bandwidth,
    GradualLatency,
    Latency,
    Limit,
    Reset,
    Slicer,
    SlowClose,
    Timeout,
)
from chaos_locust.plan.parts import Target

Json = dict[str, Any]


def toxics_of(run_id: str, fault: Fault) -> list[Json]:
    """The toxics to add, one for each direction: {name, type, stream, toxicity, attributes}.

    Raises BackendError for a kind that a proxy cannot do.
    """
    if not isinstance(fault, ProxyFault):
        raise BackendError(f"a proxy cannot do the fault kind {fault.kind}")
    kind, attributes = _toxic(fault)
    streams = ("downstream", "upstream") if fault.direction == "both" else (fault.direction,)
    return [
        {
            "name": f"{MARK}{run_id}-{fault.name}-{stream}",
            "type": kind,
            "stream": stream,
            "toxicity": fault.share,
            "attributes": attributes,
        }
        for stream in streams
    ]


def made_proxy(run_id: str, target: Target) -> str:
    """The name of the proxy that a run makes for a target with upstream and listen."""
    return f"{MARK}{run_id}-{target.name}"


def attributes_at(fault: GradualLatency, elapsed_s: float) -> Json:
    """The attributes of a ramp's toxic so long after its onset."""
    return {"latency": _ms(fault.latency_at(elapsed_s)), "jitter": _ms(fault.jitter_s)}


def _toxic(fault: ProxyFault) -> tuple[str, Json]:
    match fault:
        case Latency():
            return "latency", {"latency": _ms(fault.latency_s), "jitter": _ms(fault.jitter_s)}
        case GradualLatency():
            return "latency", attributes_at(fault, 0.0)
        case Bandwidth():
            return "bandwidth", {"rate": fault.rate_bytes_per_s // 1000}
        case Timeout():
            return "timeout", {"timeout": _ms(fault.after_s or 0.0)}  # 0 holds data for ever
        case Reset():
            return "reset_peer", {"timeout": _ms(fault.after_s)}
        case SlowClose():
            return "slow_close", {"delay": _ms(fault.delay_s)}
        case Slicer():
            return "slicer", {
                "average_size": fault.size_bytes,
                "size_variation": fault.variation_bytes or 0,
                "delay": round(fault.delay_s * 1_000_000),
            }
        case Limit():
            return "limit_data", {"bytes": fault.limit_bytes}
        case _:
            raise BackendError(f"a proxy cannot do the fault kind {fault.kind}")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
