"""Who has an account at the identity service: password, role, last use, failed attempts. Kept in a file.

The file is written before an attempt is answered, so that nobody gets more attempts by killing the service.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict

from chaos_locust.demo.passwords import Secret, matches, sealed, weakness
from chaos_locust.demo.settings import Settings

LOCK_AFTER = 6  # failed attempts in a row
LOCKED_S = 30 * 60
MOST_STRANGERS = 1000  # names that nobody has, whose failed attempts are remembered
REMEMBERED = 4  # passwords that may not be taken again
UNUSED_S = 30 * 86400  # after which an account gets no log-in any more
NOTED_EVERY_S = 3600  # log-ins of one account are written down no more often

# The accounts of the demo: password and role. Managers change prices, auditors read the audit log,
# administrators unlock accounts. The canary is there for audits, which may lock it out.
USERS = {
    "alice": ("wonderland", "customer"),
    "bob": ("builder", "customer"),
    "carol": ("christmas", "customer"),
    "dave": ("diver", "customer"),
    "mia": ("prices-in-pence", "manager"),
    "audrey": ("reads-every-line-1889", "auditor"),
    "ada": ("keeps-the-engine-1843", "admin"),
    "canary": ("sings-in-the-mine-1911", "customer"),
}
DEFAULT_ADMIN = {"admin": ("admin123", "admin")}  # the lapse `default-admin`
# Somebody who has not been here for half a year.
LEFT = {"olga": ("left-in-the-spring-1998", "customer")}
LEFT_S = 180 * 86400

# `locks`: wrong, and locked from now on. None of the last four is told from the others by its answer.
Attempt = Literal["right", "wrong", "locks", "locked", "unknown"]


class Account(TypedDict):
    """Times in seconds since the epoch. logged_in_at: the last time, to the hour; None: never."""

    role: str
    secrets: list[Secret]  # the last one is valid
    made_at: float
    logged_in_at: float | None


class Told(TypedDict):
    """An account as administrators see it; times as ISO 8601."""

    user: str
    role: str
    enabled: bool
    made_at: str
    last_login: str | None


class Failures(TypedDict):
    """In a row, and when the last one was that counted, in seconds since the epoch."""

    failed: int
    failed_at: float


class Accounts:
    """All accounts by name, in memory and in a file.

    Names that nobody has are locked like others, or the lock would tell who has an account.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._path = accounts_file(settings.state)
        self._clock = clock
        self._locks = not settings.has("no-lockout")
        self._any_password = settings.has("weak-passwords")
        self._plain = settings.has("plain-passwords")
        self._unused_s = math.inf if settings.has("stale-account") else UNUSED_S
        self._nobody = sealed(os.urandom(16).hex())
        self._accounts: dict[str, Account] = {}
        self._failures: dict[str, Failures] = {}
        if self._path.exists():
            kept = json.loads(self._path.read_text())
            self._accounts, self._failures = kept["accounts"], kept["failures"]
        else:
            users = {**USERS, **(DEFAULT_ADMIN if settings.has("default-admin") else {})}
            self._accounts = {user: self._new(*told, clock()) for user, told in users.items()}
            self._accounts |= {user: self._new(*told, clock() - LEFT_S) for user, told in LEFT.items()}
            self._save()

    def _new(self, password: str, role: str, now: float) -> Account:
        return Account(role=role, secrets=[sealed(password, self._plain)], made_at=now, logged_in_at=None)

    def role(self, user: str) -> str:
        return self._accounts[user]["role"]

    def attempt(self, user: str, password: str) -> Attempt:
        """Somebody gives a password. What takes time is done for unknown users too."""
        account = self._accounts.get(user)
        right = matches(account["secrets"][-1] if account else self._nobody, password)
        outcome = self._counted(user, right and account is not None and self._in_use(account))
        if account and outcome == "right":
            self._note_log_in(account)
        return outcome if account or outcome == "right" else "unknown"

    def _in_use(self, account: Account) -> bool:
        return self._clock() - (account["logged_in_at"] or account["made_at"]) <= self._unused_s

    def _note_log_in(self, account: Account) -> None:
        now = self._clock()
        if now - (account["logged_in_at"] or 0) >= NOTED_EVERY_S:
            account["logged_in_at"] = now
            self._save()

    def locked_for_s(self, user: str) -> float:
        """0 if it is not locked."""
        failures = self._failures.get(self._name(user))
        if not self._locks or failures is None or failures["failed"] < LOCK_AFTER:
            return 0
        return max(0, failures["failed_at"] + LOCKED_S - self._clock())

    def _counted(self, user: str, right: bool) -> Attempt:
        name, now = self._name(user), self._clock()
        before = self._failures.pop(name, Failures(failed=0, failed_at=now))
        if now - before["failed_at"] >= LOCKED_S:
            before = Failures(failed=0, failed_at=now)
        outcome: Attempt = "wrong"
        if self._locks and before["failed"] >= LOCK_AFTER:
            self._failures[name] = before
            outcome = "locked"
        elif right:
            outcome = "right"
        else:
            self._failures[name] = Failures(failed=before["failed"] + 1, failed_at=now)
            if self._locks and before["failed"] + 1 == LOCK_AFTER:
                outcome = "locks"
        if outcome != "right" or before["failed"]:
            self._forget_strangers()
            self._save()
        return outcome

    def _forget_strangers(self) -> None:
        """Those who failed longest ago; never those who have an account, or anybody could unlock them."""
        strangers = [name for name in self._failures if name not in self._accounts]
        for name in strangers[: max(0, len(strangers) - MOST_STRANGERS)]:
            del self._failures[name]

    def _name(self, user: str) -> str:
        """Names that nobody has may be passwords, or endless."""
        return (
            user
            if user in self._accounts
            else f"#{hashlib.sha256(user.encode(errors='replace')).hexdigest()}"
        )

    def refusal(self, user: str, new: str) -> str | None:
        """Why that may not be the user's new password, None if it may."""
        if self._any_password:
            return None
        if any(matches(secret, new) for secret in self._accounts[user]["secrets"]):
            return f"a password is none of the last {REMEMBERED}"
        return weakness(new, user)

    def change(self, user: str, new: str) -> None:
        account = self._accounts[user]
        account["secrets"] = [*account["secrets"], sealed(new, self._plain)][-REMEMBERED:]
        self._save()

    def unlock(self, user: str) -> bool:
        """An account that was not used for long too. False if there is no such user."""
        if user not in self._accounts:
            return False
        self._failures.pop(user, None)
        if not self._in_use(self._accounts[user]):
            self._accounts[user]["logged_in_at"] = self._clock()
        self._save()
        return True

    def all(self) -> list[Told]:
        return [self._told(user) for user in sorted(self._accounts)]

    def one(self, user: str) -> Told | None:
        """None if there is no such user."""
        return self._told(user) if user in self._accounts else None

    def _told(self, user: str) -> Told:
        account = self._accounts[user]
        logged_in_at = account["logged_in_at"]
        return Told(
            user=user,
            role=account["role"],
            enabled=self._in_use(account),
            made_at=_as_iso(account["made_at"]),
            last_login=None if logged_in_at is None else _as_iso(logged_in_at),
        )

    def make(self, user: str, password: str, role: str) -> str | None:
        """A new account; why its password may not be, None if it may. The name must be free."""
        refusal = None if self._any_password else weakness(password, user)
        if refusal is None:
            self._accounts[user] = self._new(password, role, self._clock())
            self._save()
        return refusal

    def remove(self, user: str) -> None:
        """Also if there is no such user."""
        self._accounts.pop(user, None)
        self._failures.pop(user, None)
        self._save()

    def _save(self) -> None:
        write_private(self._path, json.dumps({"accounts": self._accounts, "failures": self._failures}))


def _as_iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="seconds")


def accounts_file(state: Path) -> Path:
    return state / "identity-accounts.json"


def write_private(path: Path, text: str) -> None:
    """Written as a whole or not at all, and read by nobody else."""
    written = path.with_suffix(".new")
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    written.replace(path)
