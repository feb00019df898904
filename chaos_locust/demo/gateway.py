"""The supervisor's few HTTP calls: to the proxy's API and to the shop's health."""

from __future__ import annotations

import http.client
import json
import ssl

from chaos_locust.demo.certificates import Certificates
from chaos_locust.demo.settings import DEPENDENCIES, HOST, Settings

CALL_S = 3


def _call(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=CALL_S)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(settings: Settings) -> bool:
    """Whether the proxy's API is up."""
    try:
        return _call(settings.ports.proxy, "GET", "/version")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def make_proxies(settings: Settings) -> None:
    """Make the proxies through which the shop reaches its dependencies."""
    ports = settings.ports
    proxies = [
        {
            "name": name,
            "listen": f"{HOST}:{ports.of(name + '_proxy')}",
            "upstream": f"{HOST}:{ports.of(name)}",
            "enabled": True,
        }
        for name in DEPENDENCIES
    ]
    status, body = _call(ports.proxy, "POST", "/populate", proxies)
    if status != 201:
        raise OSError(f"the proxy's API answered {status} to /populate: {body.decode(errors='replace')}")


def ready(settings: Settings) -> bool:
    """Whether the shop and everything behind it answers."""
    try:
        status, body = _call(settings.ports.shop, "GET", "/health/ready")
    except (OSError, http.client.HTTPException):
        return False
    if status != 200 or not all(part["ok"] for part in json.loads(body)["parts"].values()):
        return False
    return _answers_over_tls(settings)


def _answers_over_tls(settings: Settings) -> bool:
    context = ssl.create_default_context(cafile=Certificates.of(settings.state).ca)
    connection = http.client.HTTPSConnection(HOST, settings.ports.shop_tls, timeout=CALL_S, context=context)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
