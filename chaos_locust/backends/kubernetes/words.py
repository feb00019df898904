"""What a cluster's errors say, in one line for people. Pure."""

from __future__ import annotations

import json


def told(status: int, data: bytes) -> str:
    try:
        message = json.loads(data).get("message")
    except (ValueError, AttributeError):
        message = None
    if status == 401:
        return "it does not know us (401); the credentials of the kubeconfig are wrong or have expired"
    return f"{message or 'no reason is given'} ({status})"


def why(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate" in text:
        return "its certificate, or ours, is not accepted: " + text[:160]
    for word, meaning in (("refused", "connection refused"), ("timed out", "timed out")):
        if word in text:
            return meaning
    return first_line(error)


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
