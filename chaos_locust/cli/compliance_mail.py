"""The report of an audit by e-mail, as `--email` and `--smtp` ask for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chaos_locust.errors import ChaosError

if TYPE_CHECKING:
    from compliance.outputs.report import Report

Email = Annotated[str | None, typer.Option(help="Who is sent the report, with --smtp.")]
Smtp = Annotated[
    str | None,
    typer.Option(
        help="smtps://user@host:465, or smtp:// for STARTTLS; the password in CHAOS_LOCUST_SMTP_PASSWORD."
    ),
]


def check_mail(email: str | None, smtp: str | None) -> None:
    """Before the audit, so that it need not be done again. Raises ChaosError."""
    from compliance.mail import checked

    if (email is None) != (smtp is None):
        raise ChaosError("--email and --smtp are needed both, or neither")
    if email is not None and smtp is not None:
        checked(email, smtp, os.environ)


def mail_reports(reports: Sequence[tuple[Report, Path]], email: str | None, smtp: str | None) -> None:
    """All in one, each with its page, which is in its folder. Does nothing without an address. Raises
    ChaosError."""
    from compliance.mail import send
    from compliance.outputs import console, summary

    if email is None or smtp is None:
        return
    text = console.render(*reports[0]) if len(reports) == 1 else summary.render(reports)
    pages = {
        f"{report.result.framework.id}.html" if len(reports) > 1 else "report.html": (
            folder / "report.html"
        ).read_text(encoding="utf-8")
        for report, folder in reports
    }
    send(summary.subject(reports), text, pages, email, smtp, os.environ)
