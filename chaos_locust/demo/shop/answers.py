"""What a client is told when something goes wrong: `{"error": code, "detail": text}`, and no more."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.errors import ShopError, Unavailable
from chaos_locust.demo.shop.tokens import WrongCredentials


def answer_errors(app: FastAPI, refused: Callable[[Request, ShopError], None], settings: Settings) -> None:
    """Has all errors of the application answered alike; `refused` is told of those of the shop's own."""
    verbose = settings.has("verbose-errors")

    def answer(
        error: Exception, status: int, code: str, detail: str, headers: dict[str, str] | None = None
    ) -> JSONResponse:
        body: dict[str, object] = {"error": code, "detail": detail}
        if verbose:
            body["trace"] = traceback.format_exception(error)
        return JSONResponse(body, status, headers)

    @app.exception_handler(ShopError)
    async def problem(request: Request, error: ShopError) -> JSONResponse:
        refused(request, error)
        headers = {"Retry-After": "1"} if isinstance(error, Unavailable) else None
        if error.status == 401:
            headers = {"WWW-Authenticate": "Bearer"}
        if isinstance(error, WrongCredentials) and error.locked_s:
            headers = {**(headers or {}), "Retry-After": str(error.locked_s)}
        return answer(error, error.status, error.code, error.detail, headers)

    @app.exception_handler(RequestValidationError)
    async def nonsense(_: Request, error: RequestValidationError) -> JSONResponse:
        found = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return answer(error, 422, "wrong_request", "; ".join(found))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers) if error.headers else None
        return answer(error, status, status.name.lower(), status.phrase, headers)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:
        return answer(error, 500, "internal_error", "the shop cannot do that")
