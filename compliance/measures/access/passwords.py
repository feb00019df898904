"""What may become a password, and who may change it. On the canary account, which gets its own back."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.access.guarded import let_in, token_of
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import careless
from compliance.site import Site
from compliance.target import Account, Target

LENGTHS = (*range(1, 21), 24, 32, 64)
ALPHABET = string.ascii_letters + string.digits
# All of them among those that are tried first, of many lengths; with letters and digits, but for the first.
COMMON = (
    "password",
    "password123",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc4rfv",
    "1q2w3e4r5t6y7u8i9o0p",
)
REMEMBERED = 4  # the last ones, which may not be taken again: 8.3.7 of PCI DSS
MOST_TO_RESTORE = 25
PATIENCE = 3  # times that a target which broke is asked again
NEEDS = ("http", "login", "canary")


class PasswordPolicy(Measure):
    name = "password_policy"
    says = "which new passwords are taken"
    side_effect: ClassVar[SideEffect] = "disruptive"
    needs = NEEDS
    fields: ClassVar[Mapping[str, str]] = {
        "shortest": "characters of the shortest random password that is taken",
        "needs_letters_and_digits": "whether one of letters only, and one of digits only, are refused",
        "common_taken": "how many of those are taken that are tried first; none: all of ours are too short",
        "user_name_taken": "whether the user's name, repeated, with a digit, is taken",
        "refuses_last_four": "whether one is refused that was among the last four",
        "set_back": "whether the canary has its own password again; else it must be set anew",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        with _canary(site) as canary:
            shortest = next((length for length in LENGTHS if canary.change(strong(length))), None)
            if shortest is None:
                raise ChaosError(f"not even a random password of {LENGTHS[-1]} characters was taken")
            length = shortest + 4
            letters = canary.change(_of(string.ascii_letters, length))
            digits = canary.change(_of(string.digits, length))
            fitting = [each for each in COMMON if len(each) >= shortest]
            common = sum(canary.change(each) for each in fitting)
            name = canary.change(_repeated(canary.account.user, length))
            history = _refuses_last_four(canary, length)
        return {
            "shortest": shortest,
            "needs_letters_and_digits": not letters and not digits,
            "common_taken": common if fitting else None,
            "user_name_taken": name,
            "refuses_last_four": history,
            "set_back": canary.is_set_back,
        }

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class PasswordChange(Measure):
    name = "password_change"
    says = "whether a password is changed for somebody who does not know it, and whether the old one is over"
    side_effect: ClassVar[SideEffect] = "disruptive"
    needs = NEEDS
    fields: ClassVar[Mapping[str, str]] = {
        "with_wrong_old": "whether it is changed with a wrong old one",
        "without_log_in": "whether it is changed without a log-in and with a wrong old one",
        "old_is_taken": "whether the old one gets a log-in after the change",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        with _canary(site) as canary:
            wrong = canary.change(strong(20), old=strong(20))
            nobody = canary.change(strong(20), old=strong(20), has_token=False)
            before = canary.password
            if not canary.change(strong(20)):
                raise ChaosError("a random password of 20 characters was not taken: nothing can be compared")
            old = canary.logged_in(before) is not None
        return {"with_wrong_old": wrong, "without_log_in": nobody, "old_is_taken": old}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class _Canary:
    """The account, whatever its password is by now."""

    def __init__(self, site: Site, account: Account) -> None:
        self.account = account
        self.password = account.password
        self._site = site
        self._token = site.token(account)
        self.is_set_back = True

    def change(self, new: str, old: str | None = None, has_token: bool = True) -> bool:
        """Whether it became the password. Raises ChaosError, Unreachable."""
        site, login = self._site, self._site.target.login
        assert login is not None
        assert login.change_password is not None
        token = self._token if has_token else None
        old = self.password if old is None else old
        if new not in COMMON:
            site.secrets.add(new)
        answer = site.send(login.change_password, token, user=self.account.user, old=old, new=new)
        taken = let_in(answer)
        if taken is None:
            self._find_out(new)
            raise ChaosError(f"{login.change_password.path}: {answer.status_code}")
        if taken and (fresh := self.logged_in(new)):
            self.password, self._token = new, fresh
            return True
        return False

    def _find_out(self, new: str) -> None:
        """Which password it is, after a change that was neither granted nor refused."""
        for _ in range(PATIENCE):
            try:
                for password in (new, self.password):
                    if fresh := self.logged_in(password):
                        self.password, self._token = password, fresh
                        return
            except ChaosError:
                self._site.sleep(1)

    def logged_in(self, password: str) -> str | None:
        """A token; None: refused. Raises ChaosError, Unreachable."""
        login = self._site.target.login
        assert login is not None
        answer = self._site.send(login, user=self.account.user, password=password)
        if let_in(answer) is None:
            raise ChaosError(f"{login.path}: {answer.status_code}")
        return token_of(self._site, answer)

    def set_back(self) -> None:
        """Through others, where it may not be taken again at once."""
        for _ in range(MOST_TO_RESTORE):
            try:
                if self.password == self.account.password or self.change(self.account.password):
                    return
                if not self.change(strong(24)):
                    break
            except ChaosError:
                self._site.sleep(1)
        self.is_set_back = False
        self._site.note(f"the password of {self.account.user} could not be set back, and must be set anew")


@contextmanager
def _canary(site: Site) -> Iterator[_Canary]:
    account, login = site.target.canary, site.target.login
    assert account is not None
    assert login is not None
    if login.change_password is None:
        raise Unsupported("the target names no change of passwords (login.change_password)")
    canary = _Canary(site, account)
    try:
        yield canary
    finally:
        canary.set_back()


def strong(length: int) -> str:
    """Random, with letters of both cases and digits where there is room for them."""
    start = "".join(map(secrets.choice, (string.ascii_lowercase, string.ascii_uppercase, string.digits)))
    return (start + _of(ALPHABET, length))[:length]


def _refuses_last_four(canary: _Canary, length: int) -> bool:
    oldest = canary.password
    for _ in range(REMEMBERED - 1):
        if not canary.change(strong(length)):
            raise ChaosError("a random password was not taken, though another of that length was")
    return not canary.change(oldest)


def _of(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _repeated(name: str, length: int) -> str:
    return (name * (length // len(name) + 1))[: length - 1] + "7"


MEASURES = (PasswordPolicy, PasswordChange)
