"""`LeanHttpUser`: Locust's `FastHttpUser` for more than twice the load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ssl import SSLContext
from typing import Any

from locust.env import Environment
from locust.exception import StopTest
from locust.user import User
from locust.user.users import RestMixin

from chaos_locust.locust_plugin.lean.response import CaughtResponse
from chaos_locust.locust_plugin.lean.session import LeanHttpSession


class LeanHttpUser(User, RestMixin[CaughtResponse]):
    """A user with an HTTP `client`, in place of `FastHttpUser` and with its names.

    What is different is in docs/lean-http-user.md: above all, certificates are verified, and the time-out is
    one for the whole request.
    """

    abstract = True

    network_timeout: float = 60.0
    """Seconds from sending a request, connecting not counted, until its reply is complete, after all
    redirects; of a streamed one until its head is, and then for each piece."""

    connection_timeout: float = 60.0
    """Seconds until there is a connection: the name found, a proxy passed, TLS agreed on."""

    max_redirects: int = 30
    """More of them are a failure; with 0 none is followed."""

    max_body_bytes: int = 64 * 1024 * 1024
    """A larger body, as sent or as decoded, is a failure, unless it is streamed."""

    insecure: bool = False
    """Accept any certificate."""

    default_headers: Mapping[str, str] | None = None
    """Sent with every request."""

    concurrency: int = 10
    """Requests of one user to the same origin at once, if it starts greenlets; more wait."""

    proxy_host: str | None = None
    """In place of what the environment says."""

    proxy_port: int | None = None

    ssl_context_factory: Callable[[], SSLContext] | None = None
    """Makes the TLS context, in place of `insecure`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if self.host is None:
            raise StopTest("no host: give it as `host` of the User class or with --host")
        if getattr(self, "client_pool", None) is not None:
            raise StopTest("client_pool: connections of several users cannot be shared by a LeanHttpUser")
        factory: Any = type(self).ssl_context_factory
        self.client = LeanHttpSession(
            self.host,
            environment.events.request,
            self,
            network_timeout=self.network_timeout,
            connection_timeout=self.connection_timeout,
            max_redirects=self.max_redirects,
            max_body_bytes=self.max_body_bytes,
            insecure=self.insecure,
            concurrency=self.concurrency,
            default_headers=self.default_headers,
            proxy_host=self.proxy_host,
            proxy_port=self.proxy_port,
            ssl_context_factory=factory,
        )
