"""The report of an audit by e-mail: over TLS with a certificate that is verified, or not at all."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from chaos_locust.errors import ChaosError

PASSWORD = "CHAOS_LOCUST_SMTP_PASSWORD"
TIMEOUT_S = 30.0
_PORTS = {"smtps": 465, "smtp": 587}
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class Server:
    """is_tls: from the first byte; else by STARTTLS. user: None: no log-in."""

    host: str
    port: int
    is_tls: bool
    user: str | None


def parse_server(text: str) -> Server:
    """smtps://user@host:465, or smtp://user@host:587 for STARTTLS. Raises ValueError."""
    form = "smtps://user@host:465, or smtp://user@host:587 with STARTTLS"
    if not text.isprintable():
        raise ValueError(f"it has characters that are not printed; give {form}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.password is not None:
        raise ValueError(f"the password does not belong into the address; put it into {PASSWORD}")
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError(f"it is no mail server; give {form}")
    user = unquote(parts.username) if parts.username else None
    return Server(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "smtps", user)


def address_problem(text: str) -> str:
    """Why it is no address of e-mail; empty: it is one."""
    return "" if _ADDRESS.fullmatch(text) else f"{text!r} is no address, such as audits@example.org"


def message(subject: str, text: str, pages: Mapping[str, str], sender: str, to: str) -> EmailMessage:
    """The text, and the pages of HTML, by file name, as attachments: mail programs show no scripts, and are
    not to."""
    found = EmailMessage()
    found["Subject"] = " ".join(subject.split())
    found["From"], found["To"] = sender, to
    found["Date"], found["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    found["Auto-Submitted"] = "auto-generated"
    found.set_content(text)
    for name, page in pages.items():
        found.add_attachment(page.encode(), maintype="text", subtype="html", filename=name)
    return found


def send(
    subject: str,
    text: str,
    pages: Mapping[str, str],
    to: str,
    smtp: str,
    environ: Mapping[str, str],
) -> None:
    """pages: HTML by file name. smtp: see `parse_server`. environ: has the password, where the server has a
    user. The server's certificate must be signed by one that the system trusts. Raises ChaosError."""
    server, password = checked(to, smtp, environ)
    sender = server.user if server.user and not address_problem(server.user) else to
    sent = message(subject, text, pages, sender, to)
    if password and any(password in each for each in (subject, text, *pages.values())):
        raise ChaosError(f"the report is not sent: the password of {PASSWORD} is in it")
    where = f"{server.host}:{server.port}"
    try:
        with _connected(server, ssl.create_default_context()) as link:
            if server.user is not None and password:
                link.login(server.user, password)
            link.send_message(sent)
    except ssl.SSLCertVerificationError as error:
        raise ChaosError(f"no report was sent: the certificate of {where}: {error.verify_message}") from None
    except smtplib.SMTPAuthenticationError as error:
        raise ChaosError(f"no report was sent: {where} refused {server.user} ({error.smtp_code})") from None
    except smtplib.SMTPNotSupportedError as error:
        raise ChaosError(f"no report was sent: {where}: {error}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise ChaosError(f"no report was sent: {where}: {_shown(error)}") from None


def checked(to: str, smtp: str, environ: Mapping[str, str]) -> tuple[Server, str | None]:
    """The server and the password for it; None: it needs none. Raises ChaosError."""
    try:
        server = parse_server(smtp)
    except ValueError as error:
        raise ChaosError(f"--smtp: {error}") from None
    if wrong := address_problem(to):
        raise ChaosError(f"--email: {wrong}")
    password = environ.get(PASSWORD) if server.user is not None else None
    if server.user is not None and not password:
        raise ChaosError(f"--smtp: the password of {server.user} at {server.host} must be in {PASSWORD}")
    return server, password


def _connected(server: Server, tls: ssl.SSLContext) -> smtplib.SMTP:
    """Encrypted, and with a verified server. Raises OSError, SMTPException."""
    if server.is_tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=tls)
    link = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
    try:
        link.starttls(context=tls)
    except BaseException:
        link.close()
        raise
    return link


def _shown(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        refused = error.recipients.items()
        return "; ".join(f"{to}: {code} {said.decode(errors='replace')}" for to, (code, said) in refused)
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    return str(error) or type(error).__name__
