"""Shipping orders out of the outbox."""

from __future__ import annotations

import asyncio

from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.errors import Unavailable

_SHIP = """
WITH due AS (SELECT id, order_id FROM outbox ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 100),
shipped AS (INSERT INTO shipments (order_id) SELECT order_id FROM due),
gone AS (DELETE FROM outbox USING due WHERE outbox.id = due.id)
SELECT count(*) FROM due"""


async def ship(database: Database, placed: asyncio.Event) -> None:
    """For ever: move orders from the outbox to the shipments, in one statement: both or neither.

    Any number of processes may do it. `placed`: set by this process when it has placed an order; those of
    others are looked for each second.
    """
    while True:
        try:
            async with database.connection() as connection:
                shipped = await connection.fetchval(_SHIP)
        except Unavailable:
            shipped = 0  # they stay in the outbox
        await asyncio.sleep(0.1)  # lets more of them come together
        if not shipped:
            try:
                async with asyncio.timeout(1):
                    await placed.wait()
            except TimeoutError:
                pass
        placed.clear()
