"""What all targets on Redis are made of: a prefix for each sequence's keys, and commands whose end is told as
it is known.

Nothing is sent before there is a connection: Refused. What the server answers with an error it did not do:
Refused. A command whose answer does not come may have been carried out: NoAnswer.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError, DirtyTarget
from chaos_locust.redact import redact_text
from invariants.machine import NoAnswer, Refused, TargetDown
from invariants.targets.urls import UrlTarget, without_password

FORGET_LIMIT_S = 30.0
"""So long it is tried to take keys away, for a server may only just be coming back."""
_PATIENCE_S = 0.1


@dataclass(repr=False)
class RedisTarget(UrlTarget):
    """A server by its URL. Each sequence has keys of its own, by their prefix; nothing else is touched."""

    schemes: ClassVar[tuple[str, ...]] = ("redis", "rediss", "valkey")
    usual_password_env: ClassVar[str] = "REDISCLI_AUTH"

    def check(self) -> None:
        """Raises TargetDown; ChaosError: the driver is missing."""
        driver = driver_of()
        try:
            with self.open("") as server:
                role = server.info("replication").get("role")
        except driver.RedisError as error:
            raise TargetDown(f"{without_password(self.url)} does not answer: {said(error)}") from None
        if role != "master":
            raise TargetDown(f"{without_password(self.url)} is a {role}, where nothing can be written")

    def open(self, scope: str) -> Any:
        """A client with one connection, which is there. Raises redis.RedisError."""
        driver = driver_of()
        password = self.password()
        scheme, _, rest = self.url.partition("://")
        return driver.Redis.from_url(
            f"{'redis' if scheme == 'valkey' else scheme}://{rest}",
            # A driver that sends a command again would do things twice, and nobody would know.
            retry=driver.retry.Retry(driver.backoff.NoBackoff(), 0),
            single_connection_client=True,
            socket_timeout=self.answer_limit_s,
            socket_connect_timeout=self.answer_limit_s,
            client_name=prefix_of(scope),
            decode_responses=True,
            protocol=2,
            **({} if password is None else {"password": password}),
        )

    def forget(self, scope: str) -> None:
        """Ends the sequence's connections and deletes its keys. Raises DirtyTarget."""
        driver, prefix, end_s = driver_of(), prefix_of(scope), self.clock() + FORGET_LIMIT_S
        while True:
            try:
                with self.open("") as server:
                    _end_connections(server, prefix)
                    for key in server.scan_iter(f"{prefix}:*", count=1000):
                        server.unlink(key)
                return
            except driver.RedisError as error:
                if self.clock() > end_s:
                    place = without_password(self.url)
                    raise DirtyTarget(
                        f"the keys {prefix}:* could not be taken away from {place}: {said(error)}"
                    ) from None
            self.sleep(_PATIENCE_S)


class RedisClient:
    """One connection, made when it is first needed and anew after it broke."""

    def __init__(self, target: RedisTarget, scope: str) -> None:
        self.target, self._scope = target, scope
        self._server: Any = None

    def key(self, *parts: str) -> str:
        return ":".join((prefix_of(self._scope), *parts))

    def do(self, *command: Any) -> Any:
        """What the server answers. Raises Refused, NoAnswer."""
        driver = driver_of()
        if self._server is None:
            try:
                self._server = self.target.open(self._scope)
            except driver.RedisError as error:
                raise Refused(f"not connected: {said(error)}") from None
        try:
            return self._server.execute_command(*command)
        except driver.BusyLoadingError as error:
            raise Refused(said(error)) from None
        except (driver.ConnectionError, driver.TimeoutError) as error:
            self.close()
            raise NoAnswer(said(error)) from None
        except driver.RedisError as error:
            raise Refused(said(error)) from None

    def script(self, text: str, keys: list[str], *values: Any) -> Any:
        """Carries out a script, which is one step to all others. Raises Refused, NoAnswer."""
        return self.do("EVAL", text, len(keys), *keys, *values)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()


def _end_connections(server: Any, name: str) -> None:
    """Those of a sequence that are left, so that what they still hold does not come later."""
    driver = driver_of()
    for each in server.client_list():
        if each.get("name") == name:
            with contextlib.suppress(driver.ResponseError):  # it went by itself
                server.client_kill_filter(_id=each["id"])


def prefix_of(scope: str) -> str:
    """Of a sequence's keys; also the name of its connections."""
    return f"chaos-locust:{scope}" if scope else "chaos-locust"


def said(error: Exception) -> str:
    """What the driver told, in one line and without secrets."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact_text(lines[0])


def driver_of() -> Any:
    """redis, imported when first needed: only an extra installs it. Raises ChaosError."""
    try:
        import redis
        import redis.backoff
        import redis.retry
    except ImportError:
        raise ChaosError("invariants on Redis need a driver: pip install 'chaos-locust[redis]'") from None
    return redis
