"""Locust must not change the standard library of the process in which the whole test suite runs."""

from __future__ import annotations

import os

os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")
