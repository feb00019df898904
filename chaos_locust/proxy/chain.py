"""The toxics of one proxy, and what the API does with them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos_locust.proxy import errors
from chaos_locust.proxy.gojson import Member, Scalar, Struct, decode, value_of
from chaos_locust.proxy.link import Link
from chaos_locust.proxy.metrics import Direction
from chaos_locust.proxy.toxics import TOXICS
from chaos_locust.proxy.toxics.base import Toxic
from chaos_locust.proxy.toxics.http import Http

if TYPE_CHECKING:
    from chaos_locust.proxy.connection import Connection


@dataclass(eq=False)
class InstalledToxic:
    """A toxic as the API names it. `stream` is as written by the user, `direction` what it means."""

    name: str
    type: str
    stream: str
    direction: Direction
    toxicity: float
    settings: Toxic

    def acts(self, rng: random.Random) -> bool:
        """Rolls whether it acts on one link: always at toxicity 1, never at 0."""
        return rng.random() < self.toxicity

    def document(self) -> dict[str, Any]:
        http = self.settings if isinstance(self.settings, Http) else None
        document = {
            "attributes": http.settings.document() if http else _attributes(self.settings),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }
        return document | {"counts": http.counted()} if http else document


def _attributes(toxic: Toxic) -> dict[str, int]:
    return {f.name: getattr(toxic, f.name) for f in dataclasses.fields(toxic)}  # type: ignore[arg-type]


def _settings_shape(toxic: Toxic) -> Struct:
    members = {name: Member(Scalar(toxic.go_int)) for name in _attributes(toxic)}
    return Struct(toxic.go_name, f"toxics.{toxic.go_name}", members)


def _wrapper_shape() -> Struct:
    members = {name: Member(Scalar("string")) for name in ("name", "type", "stream")}
    members["toxicity"] = Member(Scalar("float32"))
    # Toxiproxy reads the body twice. The first time it knows of no toxic's attributes yet.
    members["attributes"] = Member(Struct("NoopToxic", "toxics.NoopToxic"))
    return Struct("ToxicWrapper", "toxics.ToxicWrapper", members)


# What Go calls the type of an update's body in its errors.
_UPDATE = 'struct { Attributes interface {} "json:\\"attributes\\""; Toxicity float32 "json:\\"toxicity\\"" }'


class ToxicChain:
    """The toxics of a proxy in order of creation. Edits apply at once to the live `connections`."""

    def __init__(self, connections: Callable[[], Iterable[Connection]], loop: Any) -> None:
        self._connections = connections
        self._loop = loop
        self._toxics: list[InstalledToxic] = []
        self._expiries: dict[str, Any] = {}  # timers by the toxic's name

    def of(self, direction: Direction) -> list[InstalledToxic]:
        return [toxic for toxic in self._toxics if toxic.direction == direction]

    def of_http(self) -> list[InstalledToxic]:
        return [toxic for toxic in self._toxics if isinstance(toxic.settings, Http)]

    def documents(self) -> list[dict[str, Any]]:
        return [toxic.document() for d in _DIRECTIONS for toxic in self.of(d)]

    def get(self, name: str) -> InstalledToxic:
        """Raises `ApiError` if there is none of that name."""
        for direction in _DIRECTIONS:
            for toxic in self.of(direction):
                if toxic.name == name:
                    return toxic
        raise errors.toxic_not_found()

    def create(self, body: bytes) -> InstalledToxic:
        """Adds a toxic from the API's JSON. Raises `ApiError`."""
        given: dict[str, Any] = {"name": "", "type": "", "stream": "downstream", "toxicity": 1.0}
        decode(body, _wrapper_shape(), given)
        direction = given["stream"].lower()
        if direction not in _DIRECTIONS:
            raise errors.invalid_stream()
        name = given["name"] or f"{given['type']}_{given['stream']}"
        if given["type"] not in TOXICS:
            raise errors.invalid_toxic_type()
        if any(toxic.name == name for toxic in self._toxics):
            raise errors.toxic_exists()
        settings = TOXICS[given["type"]]()
        if isinstance(settings, Http):
            self._change(settings, body)
        else:
            self._fill(body, settings, {}, {})
        toxic = InstalledToxic(name, given["type"], given["stream"], direction, given["toxicity"], settings)
        self._toxics.append(toxic)
        self._expire(toxic, body)
        self._each_link(toxic, Link.add)
        return toxic

    def update(self, name: str, body: bytes) -> InstalledToxic:
        """Changes attributes and toxicity. Raises `ApiError`; as in Toxiproxy, attributes of the right type
        are changed even if another one is refused."""
        toxic = self.get(name)
        given: dict[str, Any] = {"toxicity": toxic.toxicity}
        toxicity = {"toxicity": Member(Scalar("float32"))}
        if isinstance(toxic.settings, Http):
            decode(body, Struct("", _UPDATE, toxicity), given)
            self._change(toxic.settings, body)
            self._expire(toxic, body)
        else:
            self._fill(body, toxic.settings, given, toxicity)
        toxic.toxicity = given["toxicity"]
        self._each_link(toxic, Link.update)
        return toxic

    def remove(self, name: str) -> None:
        """Raises `ApiError` if there is none of that name."""
        toxic = self.get(name)
        self._toxics.remove(toxic)
        if toxic.name in self._expiries:
            self._expiries.pop(toxic.name).close()
        self._each_link(toxic, Link.remove)

    def reset(self) -> None:
        """Removes all toxics."""
        for document in self.documents():
            self.remove(document["name"])

    def _fill(self, body: bytes, settings: Toxic, given: dict[str, Any], members: dict[str, Member]) -> None:
        """Reads the toxic's attributes into `settings` and the other `members` into `given`."""
        attributes = _attributes(settings)
        shape = Struct("", _UPDATE, {"attributes": Member(_settings_shape(settings)), **members})
        given["attributes"] = attributes
        try:
            decode(body, shape, given)
        finally:
            for name, value in attributes.items():
                setattr(settings, name, value)

    @staticmethod
    def _change(http: Http, body: bytes) -> None:
        """Raises `ApiError`; then nothing was changed."""
        attributes = value_of(body, "attributes")
        if attributes is None:
            return
        if not isinstance(attributes, dict):
            raise errors.bad_body("attributes of an http toxic are an object")
        try:
            http.change(attributes)
        except ValueError as error:
            raise errors.bad_body(error) from None

    def _expire(self, toxic: InstalledToxic, body: bytes) -> None:
        """Sets the time limit of a toxic whose attributes `body` gives anew."""
        if not isinstance(toxic.settings, Http) or "expires_ms" not in (value_of(body, "attributes") or {}):
            return
        if toxic.name in self._expiries:
            self._expiries.pop(toxic.name).close()
        after_ms = toxic.settings.settings.expires_ms
        if after_ms:
            timer = self._expiries[toxic.name] = self._loop.timer(after_ms / 1000)
            timer.start(self.remove, toxic.name, update=True)

    def _each_link(self, toxic: InstalledToxic, edit: Callable[[Link, InstalledToxic], None]) -> None:
        for connection in list(self._connections()):
            if isinstance(toxic.settings, Http):
                connection.http_changed()
                continue
            for link in connection.links:
                if link.direction == toxic.direction and not link.done:
                    edit(link, toxic)


_DIRECTIONS: tuple[Direction, Direction] = ("upstream", "downstream")
