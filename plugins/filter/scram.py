"""SCRAM verifiers: what PostgreSQL keeps of a password (RFC 5802 and 7677).

They are made on the control node, so that the password itself never reaches the server: no
statement log, no pg_stat_statements and no error message can show it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

# PostgreSQL's own defaults
ITERATIONS = 4096
SALT_BYTES = 16

_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+"
)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What stands in pg_authid.rolpassword for a password, which has to be printable ASCII."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def matches(password: str, stored: str) -> bool:
    """Whether a verifier is one of this password."""
    found = _VERIFIER.fullmatch(stored)
    if not found:
        return False
    salt, iterations = base64.b64decode(found["salt"]), int(found["iterations"])
    return hmac.compare_digest(verifier(password, salt, iterations), stored)


def scram_changes(passwords: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """Role -> fresh verifier, for each role whose stored one is of another password, or missing."""
    return {
        role: verifier(password, secrets.token_bytes(SALT_BYTES))
        for role, password in passwords.items()
        if not matches(password, stored.get(role) or "")
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"scram_changes": scram_changes}
