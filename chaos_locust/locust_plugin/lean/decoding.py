"""Content codings, undone piece by piece so that a small body cannot become a huge one. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, Protocol

from chaos_locust.locust_plugin.lean.failures import BadEncoding, BodyTooLarge

PIECE_BYTES: Final = 64 * 1024
MAX_CODINGS: Final = 3
"""One after the other on the same body."""


class Decoder(Protocol):
    """finished: the coded body has come to its end."""

    @property
    def finished(self) -> bool: ...

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What the data means, in pieces of about 64 KiB."""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self.finished = False
        self._window_bits = window_bits
        self._inflate = zlib.decompressobj(window_bits)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data or self._inflate.unconsumed_tail:
            if self.finished:  # gzip may have several members
                self._inflate = zlib.decompressobj(self._window_bits)
                self.finished = False
            piece = self._inflate.decompress(self._inflate.unconsumed_tail or data, PIECE_BYTES)
            data = b""
            self.finished = self._inflate.eof
            if self.finished:
                data = self._inflate.unused_data
            yield piece


class _Deflate:
    """By its definition in zlib's format; some servers send it bare."""

    def __init__(self) -> None:
        self._chosen: _Zlib | None = None
        self._start = b""

    @property
    def finished(self) -> bool:
        return self._chosen is not None and self._chosen.finished

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._chosen is None:
            self._start += data
            if len(self._start) < 2:
                return
            data = self._start
            first, second = data[0], data[1]
            is_zlib = first & 0x0F == zlib.DEFLATED and (first << 8 | second) % 31 == 0
            self._chosen = _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        yield from self._chosen.pieces(data)


class _Brotli:
    def __init__(self) -> None:
        self._inflate = import_module("brotli").Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._inflate.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        piece = self._inflate.process(data, output_buffer_limit=PIECE_BYTES)
        # it may accept more data while it still keeps some: only when nothing comes, all has come
        while piece or not self._inflate.can_accept_more_data():
            yield piece
            if self.finished:
                return
            piece = self._inflate.process(b"", output_buffer_limit=PIECE_BYTES)


class _Zstandard:
    def __init__(self) -> None:
        self._module = _zstandard()
        self._inflate = self._module.ZstdDecompressor()
        self.finished = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data or not (self.finished or self._inflate.needs_input):
            if self.finished:  # frames may follow one another
                self._inflate = self._module.ZstdDecompressor()
            piece = self._inflate.decompress(data, PIECE_BYTES)
            self.finished = self._inflate.eof
            data = self._inflate.unused_data if self.finished else b""
            yield piece


def _zstandard() -> Any:
    """Python's own from 3.14 on, or the same for older ones. Raises ImportError."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")


@lru_cache
def codings() -> dict[str, Callable[[], Decoder]]:
    """Those that can be undone here, in the order in which they are asked for."""
    found: dict[str, Callable[[], Decoder]] = {
        "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
        "deflate": _Deflate,
    }
    try:
        if hasattr(import_module("brotli").Decompressor, "can_accept_more_data"):  # older ones know no limit
            found["br"] = _Brotli
    except ImportError:
        pass
    try:
        _zstandard()
        found["zstd"] = _Zstandard
    except ImportError:
        pass
    return found


class Decoding:
    """The codings of one body, named as in its Content-Encoding headers. Raises BadEncoding."""

    def __init__(self, named: Iterable[str]) -> None:
        names = [name.strip().lower() for value in named for name in value.split(",")]
        names = [name.removeprefix("x-") for name in names if name not in ("", "identity")]
        if len(names) > MAX_CODINGS:
            raise BadEncoding(f"more than {MAX_CODINGS} content codings")
        unknown = sorted({name for name in names if name not in codings()})
        if unknown:
            raise BadEncoding(f"content coding {unknown[0][:20]!r} cannot be undone here")
        self._decoders = [codings()[name]() for name in reversed(names)]
        self._started = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What the data means, in pieces of bounded length. Raises BadEncoding."""
        self._started = self._started or bool(data)
        try:
            yield from self._through(data, 0)
        except BadEncoding:
            raise
        except Exception as error:  # each library has a class of its own for what it cannot decode
            raise BadEncoding(f"body is not what its content coding says ({type(error).__name__})") from None

    def end(self) -> None:
        """The body has ended. Raises BadEncoding if its codings have not; no body at all is fine."""
        if self._started and not all(decoder.finished for decoder in self._decoders):
            raise BadEncoding("coded body ends too early")

    def _through(self, data: bytes, index: int) -> Iterator[bytes]:
        if index == len(self._decoders):
            if data:
                yield data
            return
        for piece in self._decoders[index].pieces(data):
            yield from self._through(piece, index + 1)


def decoded(body: bytes, named: Iterable[str], max_body_bytes: int) -> bytes:
    """The whole body. Raises BadEncoding or BodyTooLarge."""
    decoding = Decoding(named)
    whole = bytearray()
    for piece in decoding.pieces(body):
        whole += piece
        if len(whole) > max_body_bytes:
            raise BodyTooLarge(f"decoded body of more than {max_body_bytes} bytes")
    decoding.end()
    return bytes(whole)
