"""A TLS hello that offers nothing but broken ciphers, written by hand: today's libraries have forgotten most
of them, and a server that still takes RC4 would look good to a client that cannot ask for it."""

from __future__ import annotations

import os
import struct

# IANA's numbers. NULL encrypts nothing; anon asks for no certificate; EXPORT, DES, RC2, RC4, IDEA, SEED and
# 3DES are broken or have blocks of 64 bits (SP 800-52 r2 allows none of them).
BROKEN_SUITES = (
    0x0001, 0x0002, 0x003B, 0x002C, 0xC001, 0xC006, 0xC00B, 0xC010, 0xC015,  # NULL
    0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0011, 0x0014, 0x0017, 0x0019,  # EXPORT
    0x0018, 0x001A, 0x001B, 0x0034, 0x003A, 0x006C, 0x006D, 0x0046, 0x0089, 0x009B, 0x00A6, 0x00A7,
    0xC016, 0xC017, 0xC018, 0xC019,  # anon
    0x0004, 0x0005, 0xC002, 0xC007, 0xC00C, 0xC011,  # RC4
    0x0009, 0x000C, 0x000F, 0x0012, 0x0015,  # DES
    0x000A, 0x000D, 0x0010, 0x0013, 0x0016, 0xC003, 0xC008, 0xC00D, 0xC012,  # 3DES
    0x0007, 0x0096, 0x0097, 0x0098, 0x0099, 0x009A,  # IDEA, SEED
)  # fmt: skip
HANDSHAKE, SERVER_HELLO = 22, 2
_CURVES = (23, 24, 25, 29)  # P-256, P-384, P-521, X25519
_SIGNATURES = (0x0401, 0x0501, 0x0601, 0x0804, 0x0403, 0x0503, 0x0201, 0x0203, 0x0202)


def client_hello(host: str, suites: tuple[int, ...] = BROKEN_SUITES) -> bytes:
    """One record: a client of TLS 1.2 or lower. host: the name that is asked for (SNI)."""
    extensions = b"".join(
        _extension(kind, body)
        for kind, body in (
            (0, _with_length(b"\0" + _with_length(host.encode("idna")))),
            (10, _numbers(_CURVES)),
            (11, b"\x01\x00"),
            (13, _numbers(_SIGNATURES)),
        )
    )
    body = b"\x03\x03" + os.urandom(32) + b"\0" + _numbers(suites) + b"\x01\0" + _with_length(extensions)
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return bytes([HANDSHAKE, 3, 1]) + _with_length(handshake)


def agreed_suite(answer: bytes) -> int | None:
    """The number of the cipher suite in a server's hello; None: that is not what it answered."""
    if len(answer) < 44 or answer[0] != HANDSHAKE or answer[5] != SERVER_HELLO:
        return None
    after_session = 44 + answer[43]
    suite = answer[after_session : after_session + 2]
    return int.from_bytes(suite, "big") if len(suite) == 2 else None


def _extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!H", kind) + _with_length(body)


def _numbers(values: tuple[int, ...]) -> bytes:
    return _with_length(b"".join(struct.pack("!H", each) for each in values))


def _with_length(body: bytes) -> bytes:
    return struct.pack("!H", len(body)) + body
