"""Why a request failed, by name. Their texts are constant, so that Locust counts the same failure once.

What the system itself says (refused, reset, no such host, a certificate) is left as it is.
"""

from __future__ import annotations


class BadReply(Exception):
    """What came back breaks the protocol; the text says how."""


class HeadTooLarge(BadReply):
    """The head of a reply, or what stands before it, is larger than any honest one."""


class BodyTooLarge(BadReply):
    """The body, as sent or as decoded, exceeds `max_body_bytes`; a streamed one has no limit."""


class BadEncoding(BadReply):
    """The body is not in the coding that it says it is in, or in one that nobody here can decode."""


class BadRedirect(BadReply):
    """A redirect to where no request can go."""


class TooManyRedirects(BadReply):
    """More than `max_redirects`."""


class CutOff(ConnectionResetError):
    """The server closed the connection before the reply was complete."""


class ProxyFailed(ConnectionError):
    """The proxy did not open a tunnel."""


class ConnectTimeout(TimeoutError):
    """No connection, TLS included, within `connection_timeout`."""


class ReplyTimeout(TimeoutError):
    """No complete reply within `network_timeout`."""
