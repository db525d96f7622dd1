"""The kinds of tasks. Each module is loaded when a task of its kind is configured."""

from __future__ import annotations

import importlib

BUILT_IN = (
    "bookmarklet_status",
    "database_access",
    "heartbeat",
    "rabbitmq_access",
    "website_access",
    "website_login",
)


def load(kind: str) -> None:
    """Make one of the kinds known that come with the program."""
    if kind in BUILT_IN:
        importlib.import_module(f"{__name__}.{kind}")
