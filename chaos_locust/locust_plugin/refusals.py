"""Requests that the target must refuse, made by the load: a success is a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession

REFUSALS = (401, 403)


def must_refuse(
    client: HttpSession | FastHttpSession,
    method: str,
    path: str,
    token: str,
    why: str,
    *,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    """One request with a bad token. 401 and 403 are successes, every other answer is a failure.

    They are measured under the name `PATH (must be refused)`, so an objective can ask for them:
    `error_rate of "POST /orders (must be refused)" <= 0% during run`. why: what is wrong with the token, for
    the failure's text. options: as of the client's `request`.
    """
    sent = {**(headers or {}), "Authorization": f"Bearer {token}".strip()}
    with client.request(
        method, path, name=f"{path} (must be refused)", headers=sent, catch_response=True, **options
    ) as reply:
        if reply.status_code in REFUSALS:
            reply.success()
        elif reply.status_code:
            reply.failure(f"not refused: answered {reply.status_code} to a token that is {why}")
