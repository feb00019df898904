"""Who has an account at the identity service: password, role, failed attempts. Kept in a file.

The file is written before an attempt is answered, so that nobody gets more attempts by killing the service.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypedDict

from chaos_locust.demo.passwords import Secret, matches, sealed, weakness
from chaos_locust.demo.settings import Settings

LOCK_AFTER = 6  # failed attempts in a row
LOCKED_S = 30 * 60
REMEMBERED = 4  # passwords that may not be taken again

# The accounts of the demo: password and role. Managers change prices, auditors read the audit log,
# administrators unlock accounts. The canary is there for audits, which may lock it out.
USERS = {
    "alice": ("wonderland", "customer"),
    "bob": ("builder", "customer"),
    "carol": ("christmas", "customer"),
    "dave": ("diver", "customer"),
    "mia": ("manager", "manager"),
    "audrey": ("reads-every-line-1889", "auditor"),
    "ada": ("keeps-the-engine-1843", "admin"),
    "canary": ("sings-in-the-mine-1911", "customer"),
}
DEFAULT_ADMIN = {"admin": ("admin123", "admin")}  # the lapse `default-admin`

# `locks`: wrong, and locked from now on. The last three look the same to whoever asks.
Attempt = Literal["right", "wrong", "locks", "locked", "unknown"]


class Account(TypedDict):
    role: str
    secrets: list[Secret]  # the last one is valid
    failed: int
    failed_at: float


class Accounts:
    """All accounts by name, in memory and in a file."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._path = accounts_file(settings.state)
        self._clock = clock
        self._locks = not settings.has("no-lockout")
        self._any_password = settings.has("weak-passwords")
        self._plain = settings.has("plain-passwords")
        self._nobody = sealed(os.urandom(16).hex())
        if self._path.exists():
            self._accounts: dict[str, Account] = json.loads(self._path.read_text())
        else:
            users = {**USERS, **(DEFAULT_ADMIN if settings.has("default-admin") else {})}
            self._accounts = {
                user: Account(role=role, secrets=[sealed(password, self._plain)], failed=0, failed_at=0)
                for user, (password, role) in users.items()
            }
            self._save()

    def role(self, user: str) -> str:
        return self._accounts[user]["role"]

    def attempt(self, user: str, password: str) -> Attempt:
        """Somebody gives a password. What takes time is done for unknown users too."""
        account = self._accounts.get(user)
        right = matches(account["secrets"][-1] if account else self._nobody, password)
        failed_before = account is not None and account["failed"] > 0
        outcome: Attempt = "unknown" if account is None else self._counted(account, right)
        if outcome != "right" or failed_before:
            self._save()
        return outcome

    def _counted(self, account: Account, right: bool) -> Attempt:
        if self._clock() - account["failed_at"] >= LOCKED_S:
            account["failed"] = 0
        if self._locks and account["failed"] >= LOCK_AFTER:
            return "locked"
        if right:
            account["failed"] = 0
            return "right"
        account["failed"] += 1
        account["failed_at"] = self._clock()
        return "locks" if self._locks and account["failed"] == LOCK_AFTER else "wrong"

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
        """False if there is no such user."""
        if user not in self._accounts:
            return False
        self._accounts[user]["failed"] = 0
        self._save()
        return True

    def _save(self) -> None:
        write_private(self._path, json.dumps(self._accounts))


def accounts_file(state: Path) -> Path:
    return state / "identity-accounts.json"


def write_private(path: Path, text: str) -> None:
    """Written as a whole or not at all, and read by nobody else."""
    written = path.with_suffix(".new")
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    written.replace(path)
