"""What `make bench` measures: the proxy against the real one, and due against seen times.

The long ones are run by name: `python -m bench.verdicts --times 10`, `python -m bench.killing --times 20`.
"""

from __future__ import annotations

import runpy

for name in ("bench.proxy", "bench.timing"):
    print(f"== {name}", flush=True)
    runpy.run_module(name, run_name="__main__")
