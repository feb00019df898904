"""What can go wrong in the shop, as the client is to see it."""

from __future__ import annotations


class ShopError(Exception):
    """Answered as `{"error": code, "detail": text}` with that status."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status, self.code, self.detail = status, code, detail
        super().__init__(detail)


class Unavailable(ShopError):
    """A dependency does not answer: 503, with Retry-After. The client is told the kind of failure alone."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(503, f"{part}_unavailable", detail)
