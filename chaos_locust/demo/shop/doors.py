"""Who may do what; and the audit records of log-ins, and of those who were refused."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Request

from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.audit import AuditLog
from chaos_locust.demo.shop.errors import ShopError
from chaos_locust.demo.shop.orders import NotYours
from chaos_locust.demo.shop.tokens import Tokens, User, WrongCredentials

Authorization = Annotated[str | None, Header()]


def source(request: Request) -> str:
    """The address that a request comes from."""
    return request.client.host if request.client else "unknown"


class Doors:
    """Asked before anything is done that not everybody may do."""

    def __init__(self, tokens: Tokens, audit: AuditLog, settings: Settings) -> None:
        self._tokens = tokens
        self._audit = audit
        self._open = settings.has("open-admin")

    def comes(self, request: Request, action: str, user: str | None = None) -> None:
        """Somebody wants to do that: as whoever he says, or nobody yet."""
        request.state.action, request.state.user = action, user

    def behind(self, action: str, role: str | None = None) -> Any:
        """A dependency of a route: the user, if he may do that; asked before the request is looked at.

        role: the only one that may. It raises ShopError 401, 403, Unavailable.
        """

        async def enter(request: Request, authorization: Authorization = None) -> User:
            self.comes(request, action)
            user = await self._tokens.user(authorization)
            request.state.user = user.name
            if role and user.role != role and not self._open:
                raise ShopError(403, "not_allowed", f"needs the role {role}")
            return user

        return Depends(enter)

    def done(self, request: Request) -> None:
        """To be said of what succeeded and leaves no record of its own."""
        self._note(request, request.state.action, "ok")

    def refused(self, request: Request, error: ShopError) -> None:
        """To be said of every error; those that are not refusals leave no record."""
        if error.status in (401, 403) or isinstance(error, NotYours | WrongCredentials):
            self._note(request, request.state.action, "refused")
        if isinstance(error, WrongCredentials) and error.locks:
            self._note(request, "lockout", "locked")

    def _note(self, request: Request, action: str, outcome: str) -> None:
        self._audit.note(request.state.user, action, request.url.path, outcome, source(request))
