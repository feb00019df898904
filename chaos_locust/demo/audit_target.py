"""The shop as `chaos-locust compliance audit` is told of it: target.yaml in the state folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from chaos_locust.demo.accounts import USERS, accounts_file, write_private
from chaos_locust.demo.audit_documents import documents, write_documents
from chaos_locust.demo.backups import Backups, restore_command
from chaos_locust.demo.certificates import Certificates
from chaos_locust.demo.identity import AUDIENCES
from chaos_locust.demo.logins import SERVICE, cache_url, database_url, service_cache_url
from chaos_locust.demo.packages import pinned
from chaos_locust.demo.servers import RETENTION_DAYS
from chaos_locust.demo.settings import HOST, Settings

PUBLIC = ["/login", "/products", "/products/*", "/health/*", "/metrics", "/openapi.json"]
CANARY = "canary"
QUEUED = """
SELECT order_id::text FROM (SELECT order_id FROM outbox UNION ALL SELECT order_id FROM shipments) passed_on
WHERE order_id::text = ANY(%s)"""
SAME_PRICE = {"price_cents": 1750}  # that product 50 has anyway, should the change not be refused


def target_file(settings: Settings) -> Path:
    return settings.state / "target.yaml"


def variables(settings: Settings) -> dict[str, str]:
    """What plans and audits are told as variables of the environment."""
    passwords = {f"SHOP_{user.upper()}_PASSWORD": password for user, (password, _) in USERS.items()}
    return {
        "SHOP_URL": settings.url("shop"),
        "SHOP_TLS_URL": settings.url("shop_tls"),
        "SHOP_CA": str(Certificates.of(settings.state).ca),
        "PROXY_API": settings.url("proxy"),
        "SHOP_STATE": str(settings.state),
        "SHOP_POSTGRES": database_url(settings),
        "SHOP_CACHE": cache_url(settings),
        "SHOP_BACKUPS": str(Backups(settings.state).folder),
        "SHOP_TARGET": str(target_file(settings)),
        **passwords,
    }


def write_target(settings: Settings, programs: Path) -> None:
    """Write target.yaml, which only its owner may read, and the list of packages and documents it names.

    programs: the folder of PostgreSQL's.
    """
    write_documents(settings.state)
    _packages_file(settings).write_text("".join(f"{each}\n" for each in pinned()))
    text = yaml.safe_dump(target(settings, programs), sort_keys=False, allow_unicode=True, width=100)
    write_private(target_file(settings), text)


def target(settings: Settings, programs: Path) -> dict[str, Any]:
    """Paths are absolute; what stands in braces is put there by the audit.

    Two things are left out. HTTP without TLS (`http.plain`) is there for load tests, and does not redirect
    them. And `network`: the shop has one machine with everybody else, where an audit meets whatever listens,
    and where nothing of the shop's is farther away than the rest of it.
    """
    state = settings.state
    accounts = {user: {"user": user, "password": word, "role": role} for user, (word, role) in USERS.items()}
    canary = accounts.pop(CANARY)
    written = [state / name for name in ("access.log", "shop.log", "identity.log", "payments.log")]
    return {
        "name": "shop",
        "profiles": {"fisma": "moderate", "fedramp": "class-c"},
        "http": {
            "url": settings.url("shop_tls"),
            "ca": str(Certificates.of(state).ca),
            "openapi": "/openapi.json",
            "public": PUBLIC,
        },
        "login": {
            "path": "/login",
            "json": {"user": "{user}", "password": "{password}"},
            "token": "token",
            "elsewhere": {"audience": AUDIENCES[1]},
            "logout": {"method": "POST", "path": "/logout"},
            "change_password": {
                "method": "POST",
                "path": "/password",
                "json": {"old": "{old}", "new": "{new}"},
            },
        },
        "accounts": list(accounts.values()),
        "canary": canary,
        "owned": {
            "create": {"method": "POST", "path": "/orders", "json": {"product_id": 1, "quantity": 1}},
            "id": "id",
            "read": "/orders/{id}",
        },
        "privileged": [
            {"method": "PUT", "path": "/products/50", "json": SAME_PRICE, "roles": ["manager"]},
            {"method": "GET", "path": "/audit", "roles": ["auditor"]},
            {"method": "GET", "path": "/users", "roles": ["admin"]},
            {"method": "POST", "path": f"/users/{CANARY}/unlock", "roles": ["admin"]},
        ],
        "audit_log": {
            "read": "/audit?since={since}&after={after}",
            "role": "auditor",
            "fields": {name: name for name in ("at", "user", "action", "object", "outcome", "source")},
            "retention_days": RETENTION_DAYS,
            "table": "audit_log",
        },
        "accounts_list": {"path": "/users", "role": "admin"},
        "availability": {"path": "/products", "promised": 0.99, "samples": 300, "window": "3s"},
        "processing": {
            "create": {"method": "POST", "path": "/orders", "json": {"product_id": 7}},
            "amount": "amount_cents",
            "price": {"path": "/products/7"},
            "price_at": "price_cents",
            "stored": "SELECT id::text, amount_cents FROM orders WHERE id::text = ANY(%s)",
            "queued": QUEUED,
        },
        "personal_data": {
            "create": {
                "method": "POST",
                "path": "/users",
                "json": {"user": "{user}", "password": "{password}"},
            },
            "role": "admin",
            "visits": [{"path": "/me"}],
            "export": {"path": "/me/export"},
            "erase": {"method": "DELETE", "path": "/me"},
            "kept": ["public.audit_log"],
        },
        "metrics": {"url": f"{settings.url('shop')}/metrics", "needed": ["shop_requests_total"]},
        "postgres": {"url": database_url(settings), "app_role": SERVICE},
        "redis": {
            "url": service_cache_url(settings),
            "open_url": f"redis://{HOST}:{settings.ports.cache}",
        },
        "backups": {
            "folder": str(Backups(state).folder),
            "restore": restore_command(settings, programs),
        },
        "dependencies": _dependencies(settings),
        "logs": {"files": [str(path) for path in (*written, accounts_file(state))]},
        "documents": documents(state),
    }


def _dependencies(settings: Settings) -> dict[str, str]:
    """The shop brings no list of vulnerabilities, which would soon be too old to tell anything: whoever has
    one, in OSV's form, names it as SHOP_VULNERABILITIES when the shop is started."""
    packages = {"requirements": str(_packages_file(settings))}
    known = os.environ.get("SHOP_VULNERABILITIES")
    return {**packages, "vulnerabilities": str(Path(known).resolve())} if known else packages


def _packages_file(settings: Settings) -> Path:
    return settings.state / "packages.txt"
