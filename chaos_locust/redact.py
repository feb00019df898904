"""Keeps secrets out of whatever is written down: the journal, the reports, the logs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

_SECRET_WORD = (
    r"(?:password|passwd|passphrase|pwd|pgpassword|secret|token|authorization|cookie|credentials?"
    r"|api[_-]?key|access[_-]?key|private[_-]?key)"
)
# A word of the key, not a part of a word: `max_tokens` and `author` are no secrets.
_SECRET_KEY = re.compile(rf"(?:^|[^a-z]){_SECRET_WORD}(?:$|[^a-z])")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TEXTS = (
    # scheme://user:password@host
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.I), rf"\g<keep>{HIDDEN}"),
    # Authorization: Bearer abc, and a lone `Bearer abc`
    (
        re.compile(r"(?P<keep>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:\w+\s+)?[^\s\"',;]+", re.I),
        rf"\g<keep>{HIDDEN}",
    ),
    (re.compile(r"(?P<keep>\bbearer\s+)[\w.~+/=-]{8,}", re.I), rf"\g<keep>{HIDDEN}"),
    # Set-Cookie: a=b; c=d
    (re.compile(r"(?P<keep>\b(?:set-)?cookie[\"']?\s*:\s*[\"']?)[^\r\n\"']+", re.I), rf"\g<keep>{HIDDEN}"),
    # password=abc, ?access_token=abc, "secret": "abc", --api-key abc
    (
        re.compile(
            rf"(?P<keep>(?:\b|[_-]){_SECRET_WORD}(?:[_-]\w+)?[\"']?(?:\s*[:=]\s*[\"']?))[^\s&\"',;}}]+", re.I
        ),
        rf"\g<keep>{HIDDEN}",
    ),
    (re.compile(rf"(?P<keep>--[\w-]*{_SECRET_WORD}[\w-]*\s+)[^\s-]\S*", re.I), rf"\g<keep>{HIDDEN}"),
)


def is_secret_key(key: str) -> bool:
    """Whether what is stored under this key or header name must not be written down."""
    return _SECRET_KEY.search(_CAMEL.sub("_", key).lower()) is not None


def redact_text(text: str) -> str:
    """The text without the secrets that can be told by their form. The same text gives the same result."""
    for pattern, replacement in _TEXTS:
        text = pattern.sub(replacement, text)
    return text


def redact(data: Any) -> Any:
    """JSON data without secrets: by the name of the key, of the header, and by the form of the text.

    A mapping under a secret name is gone into, not hidden: a target may well be called `token-service`.
    """
    if isinstance(data, str):
        return redact_text(data)
    if isinstance(data, Mapping):
        return {key: _hide(item) if is_secret_key(str(key)) else redact(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        if len(data) == 2 and all(isinstance(item, str) for item in data) and is_secret_key(data[0]):
            return [data[0], HIDDEN]  # a header as a pair
        return [redact(item) for item in data]
    return data


def _hide(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_hide(item) for item in value]
    return value if value is None or isinstance(value, bool) else HIDDEN
