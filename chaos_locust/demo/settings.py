"""What every process of the shop is told: the ports, the state folder, the planted defect or lapse.

The supervisor writes it once to `settings.json` in the state folder; each child reads it from there.
"""

from __future__ import annotations

import json
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

HOST = "127.0.0.1"

DEFECTS = {
    "breaker-stuck-open": "the breaker before payments never closes again once it has opened",
    "no-timeout": "no call has a time-out, and payments are called while a database slot is held",
    "cache-required": "no cache, no products: a lost cache is a 500",
    "lost-order": "an order is acknowledged before it is committed, and lost if the database fails",
    "double-charge": "after a time-out a payment is tried again with a fresh idempotency key",
    "stale-cache": "a changed price or stock is not noticed by the cache",
    "trusts-cache": "what the cache holds is taken without a check, and a value that makes no sense is a 500",
    "connects-once": "a lost connection to the cache is never made again, and what needs it is a 500",
    "cache-as-store": "what was cached once is looked for nowhere else, and is a 404 when the cache lost it",
    "drops-keys": "the keys that tokens are checked with are thrown away whenever they are fetched again",
    "stale-keys": "a token's key that is not known is never asked for, once any keys are there",
    "unchecked-tokens": "tokens are believed without a look at signature, expiry and audience",
    "leaky-pool": "a database slot is not given back after an error",
    "no-pool": "each use of the database makes a connection of its own",
    "stale-connections": "a database connection that broke stays in the pool",
    "no-retry": "an order that the database gave up for the sake of others is not tried again",
    "orders-in-line": "orders are placed one after the other, so that one that waits holds up all",
    "reviews-uncached": "the reviews of a product are summed up anew for everybody who asks",
}

# Other defects: what an audit of the shop's controls is to find. They are planted by the same option.
LAPSES = {
    "no-lockout": "a password may be guessed at as often as one likes",
    "weak-tls": "TLS 1.0 and 1.1 are accepted, and old ciphers with them",
    "audit-gap-under-load": "audit records are written beside what they tell of, and dropped if slow",
    "idor": "anybody who is logged in reads anybody's orders",
    "verbose-errors": "errors show the trace of the program and what was sent",
    "no-expiry": "tokens are good for ten years, and nobody looks whether they have expired",
    "default-admin": "there is an administrator admin with the password admin123",
    "open-admin": "what is for managers, auditors and administrators is not kept from anybody",
    "weak-passwords": "any new password is taken",
    "no-logout": "a token is as good after the logout as before",
    "missing-headers": "no answer has a security header",
    "banner": "answers name the server and its version",
    "log-deletable": "the shop's own role may change and delete audit records",
    "no-backups": "no backup is made",
    "fails-open": "while the identity service does not answer, tokens are believed without a check",
    "user-enumeration": "the answer to a failed log-in tells whether there is such a user, and a locked one",
    "plain-passwords": "passwords are stored as they are",
    "secrets-in-logs": "the access log has passwords and tokens in it",
    "unbounded-input": "a request's body may be of any size",
    "trusting-database": "PostgreSQL lets everybody in who names a role, without a password",
    "open-cache": "the cache answers everybody on the machine, without a password",
    "trace-method": "TRACE is answered with what was asked, credentials too",
    "stale-account": "an account that nobody has used for half a year still gets a log-in",
    "wrong-total": "the amount of an order is stored rounded to whole units of the currency",
    "reads-unlogged": "that an order was read is not in the audit log",
    "leftovers-after-erasure": "who has his data erased stays in his orders, and for a while in the cache",
}

# The parts that the shop reaches through the proxy, by the name of their proxy.
DEPENDENCIES = ("postgres", "cache", "payments", "identity")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on loopback. `*_proxy` is what the shop connects to."""

    shop: int = 8000
    shop_tls: int = 8443
    payments: int = 8001
    identity: int = 8002
    postgres: int = 8003
    cache: int = 8004
    payments_proxy: int = 8011
    identity_proxy: int = 8012
    postgres_proxy: int = 8013
    cache_proxy: int = 8014
    proxy: int = 8474

    def of(self, name: str) -> int:
        """The port of one named part: `postgres`, `postgres_proxy`, `shop`, ..."""
        port: int = getattr(self, name)
        return port

    def in_use(self) -> int | None:
        """The first port that somebody else listens on, or None."""
        return next((port for port in asdict(self).values() if not bindable(port)), None)


def bindable(port: int) -> bool:
    """Whether a server could listen on that loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(random: Random) -> Ports:
    """Ports that nobody uses, below those that outgoing connections are given.

    A killed child must find its port free again when it is started anew, and the kernel hands out ports
    of the ephemeral range to any connection in the meantime.
    """
    limit = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    names = list(asdict(Ports()))
    candidates = (port for port in random.sample(range(10_000, limit), 2_000) if bindable(port))
    return Ports(**dict(zip(names, candidates, strict=False)))


@dataclass(frozen=True, slots=True)
class Apart:
    """Where a process finds the others, if no supervisor runs them beside it. URLs; those of the database and
    the cache have the shop's user and password in them. Empty: this process has no need of it."""

    database: str = ""
    cache: str = ""
    payments: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One shop. `apart`: as one of several processes, on machines of their own."""

    state: Path
    ports: Ports
    defect: str | None
    apart: Apart | None = None

    def write(self) -> None:
        data = {"ports": asdict(self.ports), "defect": self.defect}
        (self.state / "settings.json").write_text(json.dumps(data))

    @staticmethod
    def read(state: Path) -> Settings:
        data = json.loads((state / "settings.json").read_text())
        return Settings(state, Ports(**data["ports"]), data["defect"])

    def has(self, defect: str) -> bool:
        """Whether that defect is planted."""
        assert defect in DEFECTS or defect in LAPSES, defect
        return self.defect == defect

    def url(self, name: str) -> str:
        """The HTTP address of one part, e.g. `payments_proxy`; of `shop_tls` that over TLS."""
        if self.apart is not None:
            elsewhere: str = getattr(self.apart, name.removesuffix("_proxy"))
            return elsewhere
        scheme = "https" if name == "shop_tls" else "http"
        return f"{scheme}://{HOST}:{self.ports.of(name)}"


def state_folder(shop_port: int) -> Path:
    """Where a shop keeps its state; plans find it by the port of the shop."""
    return Path(tempfile.gettempdir()) / f"chaos-locust-shop-{shop_port}"
