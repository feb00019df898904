"""The report by e-mail, to real SMTP servers: with TLS and log-in, and every way in which it is refused."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.ports import free_port
from chaos_locust.errors import ChaosError
from compliance.mail import PASSWORD, send

PEM = serialization.Encoding.PEM
SECRET = "k3-Qw9vZ-long-and-random"
PAGE = "<!doctype html><title>Audit</title><p>" + 3000 * "long line, é. "


class Mailbox:
    """A handler of aiosmtpd: what it was sent, and by whom."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.users: list[str] = []
        self.was_encrypted: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if envelope.rcpt_tos == ["nobody@example.org"]:
            return "550 no such mailbox"
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        self.messages.append(found)
        self.was_encrypted.append(session.ssl is not None or _is_tls(server))
        return "250 OK"

    def log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_good = (data.login, data.password) == (b"robot", SECRET.encode())
        if is_good:
            self.users.append("robot")
        return AuthResult(success=is_good, handled=is_good)


def _is_tls(server: SMTP) -> bool:
    return server.transport is not None and server.transport.get_extra_info("ssl_object") is not None


def certificate(folder: Path, address: str = "127.0.0.1", days: int = 1) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "mail.pem"
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(PEM))
    return path


@contextmanager
def mail_server(box: Mailbox, scheme: str, pem: Path | None) -> Iterator[str]:
    """Its address, for the user robot."""
    tls = None
    if pem is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
    options: dict[str, Any] = {"authenticator": box.log_in}
    if scheme == "smtps":
        options |= {"ssl_context": tls, "auth_require_tls": False, "auth_required": True}
    elif tls is not None:
        options |= {"tls_context": tls, "require_starttls": True, "auth_required": True}
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield f"{scheme}://robot@127.0.0.1:{controller.port}"
    finally:
        controller.stop()


@pytest.fixture
def box() -> Mailbox:
    return Mailbox()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    return pem


def sent(smtp: str, to: str = "audits@example.org", text: str = "3 controls", password: str = SECRET) -> None:
    send("NO VIOLATIONS: soc2\nof shop", text, {"report.html": PAGE}, to, smtp, {PASSWORD: password})


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_the_report_arrives(box: Mailbox, trusted: Path, scheme: str) -> None:
    with mail_server(box, scheme, trusted) as smtp:
        sent(smtp)
    (message,) = box.messages
    assert box.users == ["robot"]
    assert box.was_encrypted == [True]
    assert message["Subject"] == "NO VIOLATIONS: soc2 of shop"
    assert message["To"] == "audits@example.org"
    body, page = message.get_body(("plain",)), list(message.iter_attachments())
    assert body is not None
    assert body.get_content().strip() == "3 controls"
    assert [(each.get_filename(), each.get_content_type()) for each in page] == [("report.html", "text/html")]
    assert page[0].get_payload(decode=True) == PAGE.encode()
    assert SECRET not in message.as_string()


def test_a_server_without_tls_is_refused(box: Mailbox, trusted: Path) -> None:
    with mail_server(box, "smtp", None) as smtp, pytest.raises(ChaosError, match="STARTTLS"):
        sent(smtp)
    with mail_server(box, "smtp", None) as smtp, pytest.raises(ChaosError, match="no report was sent"):
        sent(smtp.replace("smtp:", "smtps:"))
    assert (box.messages, box.users) == ([], [])


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
@pytest.mark.parametrize(
    ("name", "days", "is_trusted"), [("127.0.0.1", 1, False), ("127.0.0.2", 1, True), ("127.0.0.1", -1, True)]
)
def test_a_bad_certificate_is_refused(
    box: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    scheme: str, name: str, days: int, is_trusted: bool,
) -> None:  # fmt: skip
    pem = certificate(tmp_path, name, days)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with mail_server(box, scheme, pem) as smtp, pytest.raises(ChaosError, match="the certificate of 127"):
        sent(smtp)
    assert (box.messages, box.users) == ([], [])


def test_a_wrong_password_is_told_and_not_shown(box: Mailbox, trusted: Path) -> None:
    with (
        mail_server(box, "smtps", trusted) as smtp,
        pytest.raises(ChaosError, match="refused robot") as error,
    ):
        sent(smtp, password="another-word")
    assert "another-word" not in str(error.value)
    assert box.messages == []


def test_a_mailbox_that_is_not_there_is_told(box: Mailbox, trusted: Path) -> None:
    with mail_server(box, "smtps", trusted) as smtp, pytest.raises(ChaosError, match="no such mailbox"):
        sent(smtp, to="nobody@example.org")


def test_a_report_with_the_password_in_it_is_not_sent(box: Mailbox, trusted: Path) -> None:
    with mail_server(box, "smtps", trusted) as smtp, pytest.raises(ChaosError, match="not sent"):
        sent(smtp, text=f"seen: {SECRET}")
    assert (box.messages, box.users) == ([], [])


def test_a_server_that_is_down_is_told() -> None:
    with pytest.raises(ChaosError, match="no report was sent"):
        sent(f"smtps://robot@127.0.0.1:{free_port()}")


@pytest.mark.parametrize(
    ("smtp", "to", "said"),
    [
        ("smtps://robot:secret-word@mail.example.org", "a@example.org", PASSWORD),
        ("smtps://robot:secret-word@mail.example.org:x", "a@example.org", "--smtp"),
        ("imap://mail.example.org", "a@example.org", "--smtp"),
        ("smtps://robot@mail.example.org", "a@example.org\nBcc: b@example.org", "--email"),
        ("smtps://robot@mail.example.org", "nobody", "--email"),
    ],
)
def test_mistakes_are_named_without_secrets(smtp: str, to: str, said: str) -> None:
    with pytest.raises(ChaosError, match=said) as error:
        sent(smtp, to)
    assert "secret-word" not in str(error.value)


def test_without_the_password_nothing_is_tried() -> None:
    with pytest.raises(ChaosError, match=PASSWORD):
        send("subject", "text", {"report.html": PAGE}, "a@example.org", "smtps://robot@mail.example.org", {})
