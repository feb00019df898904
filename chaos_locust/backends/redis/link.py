"""One connection to a Redis or Valkey server. The only module that needs the package redis."""

from __future__ import annotations

from collections import Counter
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry

from chaos_locust.backends.redis.server import Account, Cut, Refused, shown
from chaos_locust.errors import BackendError

CONNECT_S = 2.0


class Link:
    """One connection, for one thread at a time, which keeps the account. Raises BackendError."""

    def __init__(self, url: str, name: str, answer_s: float, account: Account) -> None:
        self._shown, self._account = shown(url), account
        scheme, rest = url.split(":", 1)
        try:
            settings = dict(parse_url(f"{scheme.replace('valkey', 'redis')}:{rest}"))  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise BackendError(f"the URL of {self._shown} is wrong: {error}") from None
        self._secret = settings.get("password")
        base = settings.pop("connection_class", Connection)
        settings |= {"socket_timeout": answer_s, "socket_connect_timeout": CONNECT_S, "client_name": name}
        settings |= {"protocol": 2, "driver_info": None, "retry": Retry(NoBackoff(), 0)}
        self._connection: Any = _accounted(base, account)(**settings)

    def send(self, *commands: tuple[Any, ...]) -> int:
        """All of them in one write, so that the server reads them together. Returns its bytes."""
        data = b"".join(part for command in commands for part in self._connection.pack_command(*command))
        try:
            self._connection.connect()
            self._account.add(Counter(str(command[0]).lower() for command in commands))
            self._connection.send_packed_command([data], check_health=False)
        except (RedisError, OSError) as error:
            raise self._lost(error) from None
        return len(data)

    def receive(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            text = self._clean(error)
            word = "OOM" if isinstance(error, OutOfMemoryError) else text.split(" ")[0]
            raise Refused(f"{self._shown} refuses: {text}", word) from None
        except (RedisError, OSError) as error:
            raise self._lost(error) from None

    def call(self, *command: Any) -> Any:
        self.send(command)
        return self.receive()

    def close(self) -> None:
        self._connection.disconnect()

    def _lost(self, error: Exception) -> BackendError:
        self.close()
        kind = Cut if isinstance(error, Disconnected) else BackendError
        return kind(f"{self._shown} does not answer: {self._clean(error)}")

    def _clean(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        return text.replace(self._secret, "***") if self._secret else text


def _accounted(base: type[Connection], account: Account) -> type[Connection]:
    """The class of connections that keep the account."""

    class Accounted(base):  # type: ignore[misc, valid-type]
        def _connect(self) -> Any:
            sock = super()._connect()
            account.on_connected(sock.getsockname()[:2])
            return sock

        def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            account.add({}, sum(map(len, command)))
            super().send_packed_command(command, check_health)

    return Accounted
