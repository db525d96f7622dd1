"""Tokens of service accounts: made once, kept as their hash."""

from __future__ import annotations

import hashlib
import secrets
import time

from .database import Database, Row, now


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def owner(database: Database, token: str) -> Row | None:
    """The service account of a token that is known and not expired."""
    key = database.one("SELECT * FROM api_key WHERE key = ?", _hash(token))
    if not key or (key["expires"] and key["expires"] < now()):
        return None
    database.update("api_key", "id", key["id"], last_used_at=now())
    return database.one('SELECT * FROM "user" WHERE id = ?', key["service_account_id"])


def make(database: Database, account_id: int, name: str, seconds_to_live: int) -> tuple[int, str]:
    """A new token: its id, and the token itself, which nobody can ask for again."""
    token = f"glsa_{secrets.token_urlsafe(24)}_{secrets.token_hex(4)}"
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_to_live))
    made = database.insert(
        "api_key", service_account_id=account_id, name=name, created=now(), last_used_at="",
        key=_hash(token), expires=until if seconds_to_live else "",
    )  # fmt: skip
    return made, token
