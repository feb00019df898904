"""Passwords that anybody would try, and so do we."""

from __future__ import annotations

from collections.abc import Mapping

# As they are shipped. Two for each user at most: no real account of that name is to be locked out.
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "admin": ("admin", "admin123"),
    "administrator": ("administrator", "password"),
    "root": ("root", "toor"),
    "user": ("user", "password"),
    "guest": ("guest",),
    "test": ("test",),
    "demo": ("demo",),
    "default": ("default",),
    "operator": ("operator",),
    "manager": ("manager",),
    "support": ("support",),
    "service": ("service",),
    "backup": ("backup",),
    "superuser": ("superuser",),
    "supervisor": ("supervisor",),
    "sysadmin": ("sysadmin",),
    "postgres": ("postgres",),
    "mysql": ("mysql",),
    "tomcat": ("tomcat", "s3cret"),
    "elastic": ("changeme",),
    "neo4j": ("neo4j",),
    "minioadmin": ("minioadmin",),
    "cisco": ("cisco",),
    "ubuntu": ("ubuntu",),
    "pi": ("raspberry",),
    "vagrant": ("vagrant",),
    "nagiosadmin": ("nagios",),
}
POSTGRES = ("postgres", "password", "admin", "changeme", "123456")  # and the user's own name
REDIS = ("foobared", "redis", "password", "admin", "changeme", "123456")

LONGEST_WORD = 7
ORDINARY_WORDS = frozenset(
    word for words in (*DEFAULTS.values(), POSTGRES, REDIS) for word in words if len(word) <= LONGEST_WORD
)
"""To have one of them for a password is no secret, and texts are full of them."""
