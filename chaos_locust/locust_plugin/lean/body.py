"""The decoded body of a reply: all there, or read while it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from chaos_locust.locust_plugin.lean.decoding import Decoding
from chaos_locust.locust_plugin.lean.failures import BodyTooLarge


class Source(Protocol):
    """What gives a coded body piece by piece, and nothing at its end."""

    def read(self) -> bytes: ...

    def close(self) -> None: ...


class Body:
    """There already. Reading it piece by piece takes nothing away from the whole."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._read = 0

    def whole(self) -> bytes:
        return self._content

    def read(self, length: int | None) -> bytes:
        """So many bytes, or all that is left; fewer only at the end."""
        end = len(self._content) if length is None else self._read + length
        piece = self._content[self._read : end]
        self._read += len(piece)
        return piece

    def close(self) -> None:
        """Nothing is open."""


class StreamedBody(Body):
    """Read while it comes. Raises what an exchange does, and BadEncoding."""

    def __init__(self, source: Source, codings: list[str], max_body_bytes: int) -> None:
        super().__init__(b"")
        self._source = source
        self._pieces = _decoded(source, Decoding(codings))
        self._pending = bytearray()
        self._max_body_bytes = max_body_bytes
        self._whole: bytes | None = None

    def whole(self) -> bytes:
        """What is left, kept from now on. Raises BodyTooLarge."""
        if self._whole is None:
            self._whole = self._take(None)
        return self._whole

    def read(self, length: int | None) -> bytes:
        return self._take(length)

    def close(self) -> None:
        self._source.close()

    def _take(self, length: int | None) -> bytes:
        pending = self._pending
        while length is None or len(pending) < length:
            piece = next(self._pieces, b"")
            if not piece:
                break
            pending += piece
            if length is None and len(pending) > self._max_body_bytes:
                self.close()
                raise BodyTooLarge(f"body of more than {self._max_body_bytes} bytes")
        taken = bytes(pending if length is None else pending[:length])
        del pending[: len(taken)]
        return taken


def _decoded(source: Source, decoding: Decoding) -> Iterator[bytes]:
    try:
        while data := source.read():
            yield from decoding.pieces(data)
        decoding.end()
    finally:
        source.close()
