"""Writes the files in docs/schedules anew: `python -m tests.docs.generate_schedules`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from compliance.schedule import Schedule, written

FOLDER = Path(__file__).parents[2] / "docs" / "schedules"
_TARGET, _FOLDER = PurePosixPath("target.yaml"), PurePosixPath("/srv/compliance")
_PROGRAM, _OUTPUT = PurePosixPath("/usr/local/bin/chaos-locust"), PurePosixPath("results")
_IMAGE = "registry.example.org/chaos-locust:latest"
SCHEDULES = (
    Schedule(
        name="compliance-weekly",
        framework="fedramp",
        profile="class-c",
        target=_TARGET,
        when="0 2 * * 0",
        folder=_FOLDER,
        program=_PROGRAM,
        output=_OUTPUT,
        email="compliance@example.org",
        smtp="smtps://audits@mail.example.org:465",
        image=_IMAGE,
    ),
    Schedule(
        name="compliance-monthly",
        framework=None,
        profile=None,
        target=_TARGET,
        when="0 2 1 * *",
        folder=_FOLDER,
        program=_PROGRAM,
        output=_OUTPUT,
        image=_IMAGE,
    ),
)


def schedules() -> dict[str, str]:
    """The files by their names."""
    return {name: text for each in SCHEDULES for name, text in written(each).items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in schedules().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
