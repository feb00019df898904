"""`chaos-locust compliance schedule`: an audit that is repeated, for cron, systemd, Kubernetes and GitHub."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from chaos_locust.errors import ChaosError


def schedule(
    target: Annotated[Path, typer.Option(help="The target's description, relative to this folder.")],
    when: Annotated[
        str, typer.Option(help="As cron has it, '30 2 * * 1', or @hourly, @daily, @weekly, @monthly.")
    ],
    framework: Annotated[str | None, typer.Option(help="fisma, fedramp, soc2, hipaa or pcidss.")] = None,
    all_frameworks: Annotated[
        bool, typer.Option("--all-frameworks", help="All five, as the target's `profiles` say.")
    ] = False,
    profile: Annotated[str | None, typer.Option(help="What of it applies, as `list` names them.")] = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called; without: compliance-FRAMEWORK, or compliance-all.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Who is sent the report.")] = None,
    smtp: Annotated[
        str | None, typer.Option(help="smtps://user@host:465, or smtp:// for STARTTLS; no password in it.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="For Kubernetes: one with chaos-locust in it.")] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(help="cron, systemd, kubernetes or github; more than one; without: all."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("schedule"),
) -> None:
    """Write one definition as a cron entry, a systemd timer, a Kubernetes CronJob and a GitHub workflow.

    cron and systemd go by the time of their machine, Kubernetes and GitHub by UTC.
    """
    from compliance.catalogue import load
    from compliance.schedule import FORMS, Schedule, written

    forms = tuple(each for each in FORMS if form is None or each in form)
    if unknown := set(form or ()) - set(FORMS):
        raise ChaosError(f"--form: {sorted(unknown)[0]!r} is not allowed; allowed: {', '.join(FORMS)}")
    if (framework is None) != all_frameworks:
        raise ChaosError("one of --framework and --all-frameworks is needed, and not both")
    if framework is None and profile is not None:
        raise ChaosError("--profile goes with --framework; for all, the target's description has `profiles`")
    if framework is not None:
        loaded = load(framework)
        if profile is None and loaded.default_profile is None:
            raise ChaosError(f"--profile: {framework} needs one; allowed: {', '.join(loaded.profiles)}")
        profile = loaded.profile(profile).name
    files = written(
        Schedule(
            name=name or f"compliance-{framework or 'all'}",
            framework=framework,
            profile=profile,
            target=PurePosixPath(target),
            when=when,
            folder=PurePosixPath(Path.cwd()),
            program=PurePosixPath(_program()),
            output=PurePosixPath("results"),
            email=email,
            smtp=smtp,
            image=image,
        ),
        forms,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (output / file).write_text(text, encoding="utf-8")
            typer.echo(str(output / file))
    except OSError as error:
        raise ChaosError(f"--output: {output}: {error.strerror}") from None


def _program() -> str:
    """This program's own file: cron and systemd do not look for it where a shell does."""
    beside = Path(sys.executable).with_name("chaos-locust")
    found = shutil.which(sys.argv[0]) or shutil.which("chaos-locust") or shutil.which(beside)
    if found is None:
        raise ChaosError(
            "the program chaos-locust was not found; install the package, or activate its environment"
        )
    return str(Path(found).absolute())
