"""Secrets in text: how they are found without being shown. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

_NAMES = r"(?:password|passwd|pwd|client_secret|api_?key)"
FORMS = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "signed token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    "bearer token": re.compile(r"\bBearer +(?!\*)[\w.~+/-]{12,}", re.IGNORECASE),
    "password": re.compile(
        rf"\b{_NAMES}=(?!\*|null\b)[^\s\"',}}&]{{4,}}"
        rf"|[\"']{_NAMES}\\?[\"'] *: *\\?[\"'](?!\*)[^\s\"'\\]{{4,}}",
        re.IGNORECASE,
    ),
    "password in a URL": re.compile(r"\b[a-z][a-z+]{2,}://[^\s:/@]*:(?!\*)[^\s:/@]{3,}@"),
    "cloud key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "hash of a password": re.compile(r"\$(?:2[aby]|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]*)\$\S{20,}"),
}
_CARD = re.compile(r"(?<![\w.-])(?:\d{15,16}|\d{4}([ -])\d{4}\1\d{4}\1\d{4})(?![\w-]|\.\d)")
_ISSUERS = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|6(?:011|5\d\d)\d{12}"
)


def leaked(text: str, known: Mapping[str, str], forms: Iterable[str] = tuple(FORMS)) -> Counter[str]:
    """How many of what is in it. known: what each secret that we know is (such as an account's password)."""
    found: Counter[str] = Counter()
    for secret, kind in known.items():
        if times := text.count(secret):
            found[kind] += times
    for form in forms:
        if times := sum(1 for _ in FORMS[form].finditer(text)):
            found[form] += times
    if cards := sum(1 for each in _CARD.finditer(text) if is_card(each[0])):
        found["card number"] += cards
    return found


def is_telling(password: str) -> bool:
    """Whether it is found nowhere but as a password: `manager` may be a role, and `christmas` a sale."""
    return len(password) >= 8 and not password.isalpha() and not password.isdigit()


def is_card(text: str) -> bool:
    """A number of an issuer of cards whose last digit is right (Luhn)."""
    digits = re.sub(r"[ -]", "", text)
    if not _ISSUERS.fullmatch(digits):
        return False
    doubled = (int(each) * (1 + at % 2) for at, each in enumerate(reversed(digits)))
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def told(found: Mapping[str, Counter[str]]) -> list[str]:
    """By place: `shop.log: card number, 3 times`."""
    return [
        f"{place}: {kind}, {times} time{'s' if times > 1 else ''}"
        for place, kinds in found.items()
        for kind, times in sorted(kinds.items())
    ]
