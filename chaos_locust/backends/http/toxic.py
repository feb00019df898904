"""What each fault on HTTP is as a toxic of the embedded proxy. Pure."""

from __future__ import annotations

from typing import Any

from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.http import EXPIRES_LATE_S, HttpFault


def http_toxic(name: str, fault: Fault, answer: bytes = b"") -> dict[str, Any]:
    """{name, type, stream, toxicity, attributes}. It ends by itself some time after the fault's end.

    answer: to the fault's route, for one that reads it. Raises BackendError for a kind that the proxy cannot
    do, and for an answer that nothing can be made of.
    """
    if not isinstance(fault, HttpFault) or fault.duration_s is None:
        raise BackendError(f"the proxy cannot do the fault kind {fault.kind}")
    where = {"route": fault.route} if fault.method is None else {"route": fault.route, "method": fault.method}
    expires_ms = round((fault.duration_s + EXPIRES_LATE_S) * 1000)
    try:
        action = fault.action_from(answer)
    except ValueError as error:
        raise BackendError(
            f"what is answered at {fault.route} is of no use for {fault.kind}: {error}"
        ) from None
    return {
        "name": name,
        "type": "http",
        "stream": "downstream",
        "toxicity": fault.share,
        "attributes": where | action | {"expires_ms": expires_ms},
    }
