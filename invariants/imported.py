"""What people name as `module:attribute`: targets and checkers of their own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from chaos_locust.errors import ChaosError


class CannotImport(ChaosError):
    """The message says what is not there, or why it cannot be imported."""


def imported(spec: str) -> Any:
    """What `module:attribute` names. Raises CannotImport."""
    module, _, attribute = spec.partition(":")
    if not module or not attribute:
        raise CannotImport("give module:attribute")
    found = imported_module(module)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise CannotImport(f"there is no {attribute} in {module}")
        found = getattr(found, name)
    return found


def imported_module(name: str) -> Any:
    """As `python -m` finds it: what lies in the working directory can be named. Raises CannotImport."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ImportError as error:
        raise CannotImport(f"{name} cannot be imported: {error}") from None
    except Exception as error:  # the module is foreign code, which runs when it is imported
        raise CannotImport(f"{name} cannot be imported: {type(error).__name__}: {error}") from None
