"""Who gets into the shop, and who must not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar
from uuid import uuid4

from chaos_locust.tokens import ATTACKS, spoil
from invariants.machine import Refused
from invariants.targets.http import HttpClient
from invariants.targets.shop_base import PROBED, Shop, log_in, upstream, where

KNOWN, NEW_KEY = "known", "of a new key"


@dataclass
class ShopTokens(Shop):
    """bad_tokens and good_tokens: names of them. A good one `of a new key` is signed with a key that the
    shop has never seen, and can be had only while the identity service works."""

    bad_tokens: ClassVar[tuple[str, ...]] = (*ATTACKS, "expired", "of another service")
    good_tokens: ClassVar[tuple[str, ...]] = (KNOWN, NEW_KEY)

    _bad: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _known: str = field(default="", init=False, repr=False, compare=False)

    def connect(self, scope: str) -> TokenClient:
        return TokenClient(self)

    def prepare(self, scope: str) -> None:
        """Tokens of the key that signs now; the shop knows it from the order before."""
        shop = where("SHOP_URL")
        self._known = log_in(HttpClient(shop), "alice")
        self._bad = {attack: spoil(self._known, attack) for attack in ATTACKS}
        self._bad["of another service"] = log_in(HttpClient(shop), "alice", audience="warehouse")
        self._bad["expired"] = log_in(HttpClient(shop), "alice", expires_in=1)
        self.sleep(1.1)

    def token(self, name: str) -> str | None:
        """None: it cannot be had now. Raises Refused, NoAnswer."""
        if name != NEW_KEY:
            return self._known if name == KNOWN else self._bad[name]
        try:
            log_in(HttpClient(where("SHOP_URL")), "alice")
            identity = HttpClient(upstream("identity"))
            identity.ask("POST", "/rotate")
            identity.close()
            # From now on the known one: the service publishes only the newest keys.
            self._known = log_in(HttpClient(where("SHOP_URL")), "alice")
        except Refused:
            return None
        return self._known


class TokenClient:
    def __init__(self, shop: ShopTokens) -> None:
        self._shop, self._http = shop, HttpClient(where("SHOP_URL"))

    def admitted(self, token: str) -> bool | None:
        """token: its name. None: there is no such one now. Raises Refused where the shop cannot tell (503),
        NoAnswer."""
        given = self._shop.token(token)
        if given is None:
            return None
        wish = {"product_id": PROBED, "quantity": 1, "idempotency_key": uuid4().hex}
        answer = self._http.send("POST", "/orders", wish, {"Authorization": f"Bearer {given}"})
        if answer.status != 401 and not answer.good:
            raise Refused(str(answer))
        return answer.good

    def close(self) -> None:
        self._http.close()
