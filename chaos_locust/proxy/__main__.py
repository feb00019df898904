from __future__ import annotations

import sys

from chaos_locust.proxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
