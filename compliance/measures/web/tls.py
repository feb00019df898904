"""What the target's TLS is: versions, certificate, and whether plain HTTP is answered beside it."""

from __future__ import annotations

import ssl
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from compliance.measures.bad import BadHandler, bad_service, bad_site
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.web.raw import address, connect
from compliance.measures.web.tls_hello import HANDSHAKE, agreed_suite, client_hello
from compliance.site import Site, Unreachable
from compliance.target import Http, Target

VERSIONS = {
    1.0: ssl.TLSVersion.TLSv1,
    1.1: ssl.TLSVersion.TLSv1_1,
    1.2: ssl.TLSVersion.TLSv1_2,
    1.3: ssl.TLSVersion.TLSv1_3,
}
_ONE_AT_A_TIME = threading.Lock()
HELLO_BYTES = 512  # as much of an answer as holds the server's choice


class TlsVersions(Measure):
    name = "tls_versions"
    says = "which versions of TLS a client can agree on with the target"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "lowest": "the lowest version that is accepted (0: plain HTTP)",
        "highest": "the highest version that is accepted",
        "accepts_weak_ciphers": "whether a client with nothing but broken ciphers can connect",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        host, port, is_tls = address(site)
        if not is_tls:
            connect(host, port, site).close()
            site.note(f"{host}:{port} is plain HTTP")
            return {"lowest": 0, "highest": 0, "accepts_weak_ciphers": True}
        accepted = [version for version in VERSIONS if _agrees(site, host, port, version)]
        if not accepted:
            raise Unreachable(f"{host}:{port} agrees on no version of TLS from 1.0 to 1.3")
        weak = _takes_broken_ciphers(site, host, port)
        return {"lowest": accepted[0], "highest": accepted[-1], "accepts_weak_ciphers": weak}

    def bad(self) -> AbstractContextManager[Target]:
        """TLS 1.0 without encryption: a library of ours that cannot speak it would find nothing anywhere."""
        return _bad_site()


class Certificate(Measure):
    name = "tls_certificate"
    says = "whether the target's certificate is valid for its name, trusted, and for how long"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "trusted": "whether it is signed by who should, for this name, and valid today",
        "days_left": "days until it expires; negative: it has",
        "key_bits": "of RSA's strength: an elliptic curve counts as the RSA key of the same security",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        from cryptography import x509

        host, port, is_tls = address(site)
        if not is_tls:
            raise Unsupported(f"{host}:{port} is plain HTTP, and shows no certificate")
        found = x509.load_der_x509_certificate(_shown_certificate(site, host, port))
        problem = _trust_problem(site, host, port)
        left = found.not_valid_after_utc - site.now()
        site.note(f"certificate of {host}:{port}: {found.subject.rfc4514_string()}; {problem or 'trusted'}")
        return {
            "trusted": not problem,
            "days_left": left // timedelta(days=1),
            "key_bits": _strength(found.public_key()),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return _bad_site()


class PlainHttp(Measure):
    name = "plain_http"
    says = "whether the service is given away without TLS beside it"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {"is_answered": "whether plain HTTP gets anything but a redirect"}

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.http is not None
        http = site.target.http
        plain = http.plain or (http.url if http.url.startswith("http:") else None)
        if plain is None:
            raise Unsupported("the target names no address without TLS (http.plain) to be tried")
        try:
            answer = site.request("GET", "/", url=plain)
        except Unreachable:
            host, port, _ = address(site)
            connect(host, port, site).close()  # with all of it down, silence proves nothing
            return {"is_answered": False}
        to = answer.headers.get("Location", "")
        return {"is_answered": not (answer.is_redirect and to.startswith("https:"))}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_site()


def _agrees(site: Site, host: str, port: int, version: float) -> bool:
    """Whether a client that knows this version only can connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _old_versions():
        context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    with connect(host, port, site) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as link:
                site.note(f"{host}:{port} agreed on {link.version()} with {link.cipher()}")
                return True
        except (ssl.SSLError, ConnectionError) as error:
            site.note(f"{host}:{port} refused TLS {version}: {error}")
            return False
        except OSError as error:
            raise Unreachable(f"{host}:{port}: {error}") from None


def _takes_broken_ciphers(site: Site, host: str, port: int) -> bool:
    with connect(host, port, site) as link:
        answer = b""
        try:
            link.sendall(client_hello(host))
            while len(answer) < HELLO_BYTES and (more := link.recv(HELLO_BYTES)):
                answer += more
                if answer[0] != HANDSHAKE or agreed_suite(answer) is not None:
                    break
        except ConnectionError:
            pass  # hanging up is a refusal as well
        except OSError as error:
            raise Unreachable(f"{host}:{port}: {error}") from None
    suite = agreed_suite(answer)
    site.note(f"{host}:{port} took {'no broken cipher' if suite is None else f'the cipher 0x{suite:04X}'}")
    return suite is not None


def _shown_certificate(site: Site, host: str, port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with connect(host, port, site) as plain, context.wrap_socket(plain, server_hostname=host) as link:
            found = link.getpeercert(binary_form=True)
    except OSError as error:
        raise Unreachable(f"{host}:{port}: {error}") from None
    assert found is not None
    return found


def _trust_problem(site: Site, host: str, port: int) -> str:
    assert site.target.http is not None
    ca = site.target.http.ca
    context = ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    try:
        with connect(host, port, site) as plain, context.wrap_socket(plain, server_hostname=host):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        raise Unreachable(f"{host}:{port}: {error}") from None


def _strength(key: Any) -> int:
    """In bits of RSA (SP 800-57 part 1, table 2): curves of 256 bits are as strong as RSA of 3072."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return next(
            (rsa_bits for bits, rsa_bits in ((384, 7680), (256, 3072), (224, 2048)) if key.key_size >= bits),
            1024,
        )
    return 3072  # Ed25519, Ed448


@contextmanager
def _old_versions() -> Iterator[None]:
    """Without the warning that they are old: that is why they are asked for. What is ignored is the whole
    process's affair, and one thread's at a time."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def _bad_site() -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as folder, bad_service(BadHandler, _bad_tls(Path(folder))) as url:
        yield Target(name="bad", http=Http(url=url))


def _bad_tls(folder: Path) -> ssl.SSLContext:
    """Every version and cipher that our library has; a self-signed certificate for another name, with a short
    key, that expired yesterday."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somewhere.else.invalid")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=30))
        .not_valid_after(today - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    written = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem)
    (folder / "pem").write_bytes(written)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _old_versions():
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:eNULL:aNULL:@SECLEVEL=0")
    context.load_cert_chain(folder / "pem")
    return context


MEASURES = (TlsVersions, Certificate, PlainHttp)
