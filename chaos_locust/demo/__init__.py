"""The shop: a small web service behind the proxy, to try faults on. An optional extra, `demo`.

`serve` is the whole of its Python interface; `python -m chaos_locust.demo serve` does the same.
"""

from __future__ import annotations

from chaos_locust.demo.serve import serve

__all__ = ["serve"]
