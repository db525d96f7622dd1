"""What the server keeps secret: password hashes, tokens, and text that needs `secret_key`."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import Any


class WrongKeyError(Exception):
    """The text was encrypted with another `secret_key`."""


def password_hash(password: str, salt: str) -> str:
    """As Grafana: PBKDF2 with SHA-256, 10,000 rounds, 50 bytes."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10_000, 50).hex()


def password_is(password: str, salt: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(password_hash(password, salt), wanted)


def token_hash(token: str, secret_key: str) -> str:
    """What the database holds of a session: another `secret_key` ends them all, as in Grafana."""
    return hashlib.sha256((token + secret_key).encode()).hexdigest()


def _stream(key: bytes, salt: bytes, length: int) -> bytes:
    blocks = range(length // 32 + 1)
    return b"".join(hashlib.sha256(key + salt + n.to_bytes(4, "big")).digest() for n in blocks)


def encrypt(value: dict[str, Any], secret_key: str) -> str:
    salt, text = secrets.token_bytes(16), json.dumps(value).encode()
    key = hashlib.pbkdf2_hmac("sha256", secret_key.encode(), salt, 10_000)
    sealed = bytes(a ^ b for a, b in zip(text, _stream(key, salt, len(text)), strict=False))
    return (salt + hmac.digest(key, sealed, "sha256") + sealed).hex()


def decrypt(text: str, secret_key: str) -> dict[str, Any]:
    raw = bytes.fromhex(text)
    salt, tag, sealed = raw[:16], raw[16:48], raw[48:]
    key = hashlib.pbkdf2_hmac("sha256", secret_key.encode(), salt, 10_000)
    if not hmac.compare_digest(tag, hmac.digest(key, sealed, "sha256")):
        raise WrongKeyError("cannot decrypt: [security] secret_key is not the one it was made with")
    plain = bytes(a ^ b for a, b in zip(sealed, _stream(key, salt, len(sealed)), strict=False))
    value: dict[str, Any] = json.loads(plain)
    return value
