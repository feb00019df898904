"""How passwords are chosen and kept. Pure, but for the random salt."""

from __future__ import annotations

import hashlib
import hmac
import os

SHORTEST = 15
LONGEST = 200
# Long enough, with letters and digits, and yet among the first that are tried.
KNOWN_BAD = frozenset(
    {
        "password1234567",
        "password12345678",
        "passwordpassword1",
        "password123password",
        "qwertyuiop12345",
        "qwertyuiop123456789",
        "1q2w3e4r5t6y7u8i9o0p",
        "1qaz2wsx3edc4rfv",
        "abcdefghij12345",
        "abc123abc123abc123",
        "iloveyou1234567",
        "letmein12345678",
        "welcome12345678",
        "administrator1234",
        "changeme1234567",
        "123456789abcdef",
    }
)

Secret = dict[str, str]


def weakness(password: str, user: str) -> str | None:
    """What is wrong with a new password, None if nothing is."""
    lower = password.lower()
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters"
    if not any(each.isalpha() for each in password) or not any(each.isdigit() for each in password):
        return "a password has letters and digits"
    if user.lower() in lower:
        return "a password does not hold the name of its user"
    if lower in KNOWN_BAD:
        return "that password is known to be tried first"
    return None


def sealed(password: str, plain: bool = False) -> Secret:
    """What is kept of a password: a salted hash. plain: the lapse `plain-passwords`."""
    if plain:
        return {"password": password}
    salt = os.urandom(16)
    return {"salt": salt.hex(), "hash": _hash(password, salt).hex()}


def matches(secret: Secret, password: str) -> bool:
    if "password" in secret:
        return hmac.compare_digest(secret["password"].encode(), password.encode())
    given = _hash(password, bytes.fromhex(secret["salt"]))
    return hmac.compare_digest(given, bytes.fromhex(secret["hash"]))


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1)
