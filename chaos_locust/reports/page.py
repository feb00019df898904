"""What every page of ours is made with: its templates, what stands in it, and the hash that lets its script
run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(package: str, *filters: Callable[..., str]) -> Environment:
    """Those of the package; a filter has its function's name."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in filters})
    return environment


def asset(package: str, name: str) -> str:
    """A file beside the package's templates."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """Base64 of SHA-256, for the `script-src` of a content security policy."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def f1(value: float) -> str:
    """One decimal, without a zero in its place."""
    return f"{value:.1f}".removesuffix(".0")
