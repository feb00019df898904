"""What each fault on HTTP is as a toxic of the embedded proxy. Pure."""

from __future__ import annotations

from typing import Any

from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.http import EXPIRES_LATE_S, HttpFault


def http_toxic(name: str, fault: Fault) -> dict[str, Any]:
    """{name, type, stream, toxicity, attributes}. It ends by itself some time after the fault's end.

    Raises BackendError for a kind that the proxy cannot do.
    """
    if not isinstance(fault, HttpFault) or fault.duration_s is None:
        raise BackendError(f"the proxy cannot do the fault kind {fault.kind}")
    where = {"route": fault.route} if fault.method is None else {"route": fault.route, "method": fault.method}
    expires_ms = round((fault.duration_s + EXPIRES_LATE_S) * 1000)
    return {
        "name": name,
        "type": "http",
        "stream": "downstream",
        "toxicity": fault.share,
        "attributes": where | fault.action() | {"expires_ms": expires_ms},
    }
