"""Commands in containers. The official client's own way to do it has no time-out to connect, nor within a
frame, so that a node that hangs would hang whoever asks."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from typing import Any

from chaos_locust.backends.kubernetes.words import first_line, told
from chaos_locust.errors import BackendError

PROTOCOL = "v4.channel.k8s.io"
_OUTPUT, _ERRORS, _STATUS = 1, 2, 3  # the first byte of a frame


def executed(
    settings: Any, url: str, headers: dict[str, str], limit_s: float, until: str = ""
) -> tuple[int | None, str]:
    """Its exit code, None where none was told, and what it wrote, or why it could not be begun. until: what
    goes on when it has written this is left to itself. settings: of the client. Raises BackendError."""
    import websocket

    give_up_s = time.monotonic() + limit_s
    wanted = {key: value for key, value in headers.items() if key.lower() == "authorization"}
    try:
        opened = websocket.create_connection(
            url.replace("http", "ws", 1), timeout=limit_s, header=wanted, subprotocols=[PROTOCOL],
            sslopt=_tls(settings), **_proxy(settings),
        )  # fmt: skip
    except websocket.WebSocketBadStatusException as error:
        raise BackendError(told(error.status_code, error.resp_body or b"")) from None
    except (websocket.WebSocketException, OSError, ValueError) as error:
        raise BackendError(first_line(error)) from None
    written, status = b"", b""
    try:
        while (left_s := give_up_s - time.monotonic()) > 0:
            opened.settimeout(left_s)
            operation, data = opened.recv_data()
            if operation == websocket.ABNF.OPCODE_CLOSE:
                break
            if data[:1] == bytes([_STATUS]):
                status += data[1:]
            elif data[:1] in (bytes([_OUTPUT]), bytes([_ERRORS])):
                written += data[1:]
                if until and until.encode() in written:
                    break
    except (websocket.WebSocketException, OSError):
        pass  # cut off: as the caller sees by the code
    finally:
        with contextlib.suppress(websocket.WebSocketException, OSError):
            opened.close(timeout=1)
    code, said = _ended(status)
    return code, written.decode(errors="replace") + said


def _ended(status: bytes) -> tuple[int | None, str]:
    """(exit code, what the node says) of a Status object; it may tell a reason and no code."""
    try:
        found = json.loads(status)
        if found["status"] == "Success":
            return 0, ""
        causes = (found.get("details") or {}).get("causes") or ()
        codes = [int(each["message"]) for each in causes if each.get("reason") == "ExitCode"]
        return (codes[0], "") if codes else (None, str(found.get("message") or ""))
    except (ValueError, KeyError, TypeError):
        return None, ""


def _tls(settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    if settings.verify_ssl:
        found = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": settings.ssl_ca_cert}
        if settings.assert_hostname is not None:
            found["check_hostname"] = settings.assert_hostname
    names = {
        "certfile": settings.cert_file,
        "keyfile": settings.key_file,
        "server_hostname": settings.tls_server_name,
    }
    return found | {key: value for key, value in names.items() if value}


def _proxy(settings: Any) -> dict[str, Any]:
    if not settings.proxy:
        return {}
    from kubernetes.stream import ws_client

    client: Any = ws_client  # has no types
    found: dict[str, Any] = client.websocket_proxycare({}, settings, None, None)
    return found
