"""The program: Toxiproxy's flags, its API, and a clean end."""

from __future__ import annotations

import argparse
import errno
import logging
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from gevent.pywsgi import WSGIHandler, WSGIServer

from chaos_locust.proxy.api import Api
from chaos_locust.proxy.collection import Collection
from chaos_locust.proxy.connection import Context, tune
from chaos_locust.proxy.metrics import Metrics
from chaos_locust.proxy.netaddr import bound

_VERSION = "git"
_BUFFER = 256 * 1024
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the proxy until SIGTERM or SIGINT. Returns 0, or 2 if it cannot start."""
    options = _parser().parse_args(argv)
    if options.version:
        print(f"toxiproxy-server version {_VERSION}")
        return 0
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    _allow_many_files()
    metrics = Metrics(options.proxy_metrics, options.runtime_metrics, time.time())
    loop = gevent.get_hub().loop
    rng = random.Random(options.seed)
    collection = Collection(Context(loop, time.monotonic, rng, metrics, memoryview(bytearray(_BUFFER))))
    try:
        server = _listen(Api(collection, metrics, _VERSION), options.host, options.port)
        if options.config:
            _populate(collection, options.config)
    except _CannotStart as error:
        print(f"chaos-locust proxy: {error}", file=sys.stderr)
        collection.close()
        return 2
    stopped = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    print(f"chaos-locust proxy: API at http://{bound(server.socket)}", file=sys.stderr, flush=True)
    stopped.wait()
    server.stop(timeout=1)
    collection.close()
    return 0


class _CannotStart(Exception):
    """Its text is the one line for the user."""


class _Handler(WSGIHandler):
    """Keeps the path as it was sent, since an escaped slash is not the same as a malformed escape."""

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["chaos_locust.raw_path"] = str(self.path).partition("?")[0]
        return environ


def _boolean(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise argparse.ArgumentTypeError(f"{text!r} is not true or false")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chaos-locust proxy", description="A TCP proxy with Toxiproxy's API.", allow_abbrev=False
    )

    def flag(name: str, help_: str) -> None:
        parser.add_argument(
            f"-{name}",
            f"--{name}",
            nargs="?",
            const=True,
            default=False,
            type=_boolean,
            metavar="true",
            help=help_,
        )

    parser.add_argument("-host", "--host", default="localhost", help="host of the API (localhost)")
    parser.add_argument("-port", "--port", default="8474", help="port of the API (8474)")
    parser.add_argument("-config", "--config", default="", help="JSON file of proxies to create at the start")
    parser.add_argument("-seed", "--seed", type=int, help="seed of the toxics' chance")
    flag("proxy-metrics", "count bytes per proxy at /metrics")
    flag("runtime-metrics", "show this process at /metrics")
    flag("version", "print the version and end")
    return parser


def _listen(api: Api, host: str, port: str) -> WSGIServer:
    """Raises `_CannotStart`."""
    if not port.isdigit() or int(port) > 65535:
        raise _CannotStart(f"-port {port}: must be a number from 0 to 65535")
    try:
        # An IPv4 address first, as Go does for a name that has both.
        found = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM)
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
        tune(listener)  # what it accepts inherits this
    except OSError as error:
        why = "already in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise _CannotStart(f"cannot listen on {host}:{port}: {why}") from None
    listener.setblocking(False)
    server = WSGIServer(gevent.socket.socket(fileno=listener.detach()), api, log=None, handler_class=_Handler)
    server.start()
    return server


def _populate(collection: Collection, path: str) -> None:
    """Raises `_CannotStart`."""
    try:
        body = Path(path).read_bytes()
    except OSError as error:
        raise _CannotStart(f"-config {path}: {error.strerror}") from None
    _, refused = collection.populate(body)
    if refused is not None:
        raise _CannotStart(f"-config {path}: {refused}")


def _allow_many_files() -> None:
    """Every connection takes two descriptors; the soft limit is often too low for that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
