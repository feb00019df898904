"""The folder of one run's reports."""

from __future__ import annotations

import time
from pathlib import Path

from chaos_locust.errors import ChaosError


def new_folder(results: Path, suffix: str = "") -> Path:
    """Makes `results/<date>_<time><suffix>`. Raises ChaosError when it cannot be written."""
    stamp = time.strftime("%Y%m%d_%H%M%S") + suffix
    for attempt in range(100):
        folder = results / (stamp if attempt == 0 else f"{stamp}_{attempt + 1}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise ChaosError(f"the results folder {folder} cannot be made: {error.strerror}") from error
        return folder
    raise ChaosError(f"no free name for a folder in {results}")
