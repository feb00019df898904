"""The payment service: authorises charges, once for each idempotency key.

The ledger is a file of JSON lines, written before the answer is, so that it survives kill -9. An
authorisation that no order claims lapses; nothing is captured here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chaos_locust.demo.service import run
from chaos_locust.demo.settings import Settings


class Charge(TypedDict):
    key: str
    reference: str
    amount_cents: int
    at: float


class Ledger:
    """All charges by idempotency key, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        lines = path.read_bytes().split(b"\n")
        torn = len(lines.pop())  # what follows the last newline was being written when the service died
        if torn:
            os.ftruncate(self._file, os.fstat(self._file).st_size - torn)
        charges: list[Charge] = [json.loads(line) for line in lines]
        self.charges = {charge["key"]: charge for charge in charges}

    def add(self, charge: Charge) -> None:
        os.write(self._file, json.dumps(charge).encode() + b"\n")
        self.charges[charge["key"]] = charge


def application(ledger: Ledger) -> Starlette:
    """POST /charges with an Idempotency-Key, GET /charges for the truth, GET /health."""

    async def charge(request: Request) -> JSONResponse:
        key = request.headers.get("idempotency-key")
        try:
            body = await request.json()
            reference, amount_cents = str(body["reference"]), int(body["amount_cents"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "needs reference and amount_cents"}, 422)
        if not key or amount_cents <= 0:
            return JSONResponse({"error": "needs an Idempotency-Key and a positive amount_cents"}, 422)
        known = ledger.charges.get(key)
        if known is None:
            new = Charge(key=key, reference=reference, amount_cents=amount_cents, at=time.time())
            ledger.add(new)
            return JSONResponse(new, 201)
        if known["reference"] != reference:
            return JSONResponse({"error": "the idempotency key belongs to another charge"}, 409)
        return JSONResponse(known)

    async def charges(request: Request) -> JSONResponse:
        return JSONResponse({"charges": list(ledger.charges.values())})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/charges", charge, methods=["POST"]),
            Route("/charges", charges),
            Route("/health", health),
        ]
    )


def service(settings: Settings) -> Starlette:
    return application(Ledger(settings.state / "payments-ledger.jsonl"))


if __name__ == "__main__":
    told = Settings.read(Path(sys.argv[1]))
    run(service(told), told.ports.payments)
