"""What is known of each token, and what becomes of it; no files, no clock of its own."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lookout.kit.config import option

DAY_SECONDS = 86400.0
HOUR_SECONDS = 3600.0
# 256 bits: nobody guesses it, so that a fast hash is enough (NIST SP 800-63B, 5.1.2.2).
SECRET_BYTES = 32
ID_BYTES = 4
# Requests of a client's other processes and connections are still on their way with the former one.
HANDOVER_SECONDS = 30.0
# Of what is sent along; a token has 59.
MOST_CHARACTERS = 128

Scope = Literal["read", "train"]
State = Literal["valid", "replaced", "ended", "expired"]
CLIENT = r"[a-z0-9][a-z0-9_-]{0,47}"


class TokenError(Exception):
    """What was asked for cannot be done; says why, and what can."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A token, by all but itself. Times are seconds since 1970, UTC."""

    id: str = option(pattern=r"[0-9a-f]{8}", must="eight hexadecimal digits")
    client: str = option(pattern=CLIENT, must="a short name: a-z, 0-9, - and _")
    sha256: str = option(pattern=r"[0-9a-f]{64}", must="a SHA-256 in hexadecimal digits")
    scopes: tuple[Scope, ...] = option(at_least=1)
    created: float
    expires: float
    # Of the former token after a rotation: when it ends at the latest
    ends: float | None = None
    # Its successor, whose first use ends it half a minute later
    successor: str = option("", pattern=r"([0-9a-f]{8})?", must="the id of another token")

    def state(self, now: float, used: Mapping[str, float]) -> State:
        """What the token is at a moment; `used` has when each token was used first, by id."""
        if now >= self.expires:
            return "expired"
        if self.ends is None:
            return "valid"
        ends = min(self.ends, used.get(self.successor, self.ends) + HANDOVER_SECONDS)
        return "ended" if now >= ends else "replaced"


@dataclass(frozen=True)
class TokenSet:
    """All tokens of an API."""

    # Not left out in a file: an empty one would end them all.
    tokens: tuple[Slot, ...]

    def problems(self) -> Iterator[str]:
        """What no single token shows."""
        for kind in ("id", "sha256"):
            seen: set[str] = set()
            for number, slot in enumerate(self.tokens):
                value = getattr(slot, kind)
                if value in seen:
                    yield f"tokens[{number}].{kind}: another token has the same"
                seen.add(value)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(held: TokenSet, token: str) -> Slot | None:
    """Whose token it is, valid or not. Every slot is looked at, whichever it is."""
    given = digest(token[:MOST_CHARACTERS]) if token else ""
    found = None
    for slot in held.tokens:
        if hmac.compare_digest(slot.sha256, given):
            found = slot
    return found


def create(
    held: TokenSet, client: str, scopes: tuple[Scope, ...], expires: float, now: float
) -> tuple[TokenSet, Slot, str]:
    """Another set with a client's first token, its slot, and the token itself."""
    if not re.fullmatch(CLIENT, client):
        raise TokenError(f"{client!r} is no name of a client: a-z, 0-9, - and _, up to 48")
    if not scopes:
        raise TokenError("a token without a scope opens nothing: read, train")
    if expires <= now:
        raise TokenError("it would have expired before it is used")
    if _valid(held, client, now, {}):
        raise TokenError(f"{client} has a token: rotate it, or revoke it first")
    slot, token = _new(held, client, scopes, expires, now)
    return TokenSet((*held.tokens, slot)), slot, token


def rotate(
    held: TokenSet, client: str, grace_seconds: float, now: float, used: Mapping[str, float]
) -> tuple[TokenSet, Slot, str]:
    """Another set in which a client has a new token, which lasts as long as the former one did.

    The former one ends soon after the new one is first used, or after `grace_seconds`. Two are
    valid at a time, never three: of two before, the one in use stays, and the other ends at once.
    """
    valid = _valid(held, client, now, used)
    if not valid:
        raise TokenError(f"{client} has no valid token: create one")
    newest = max(valid, key=lambda slot: (slot.ends is None, slot.created))
    # A new one that nobody has used yet was lost on its way, and nobody misses it.
    in_use = [slot for slot in valid if slot.successor == newest.id and newest.id not in used]
    former = in_use[0] if in_use else newest
    lifetime = former.expires - former.created
    slot, token = _new(held, client, former.scopes, now + lifetime, now)
    ended = replace(former, ends=now + max(grace_seconds, 0), successor=slot.id)
    kept = tuple(
        ended if one is former else one
        for one in held.tokens
        if one.client != client or one is former
    )
    return TokenSet((*kept, slot)), slot, token


def revoke(held: TokenSet, which: str) -> tuple[TokenSet, tuple[Slot, ...]]:
    """Another set without a token, by its id, or without all tokens of a client; and these."""
    gone = tuple(slot for slot in held.tokens if which in (slot.id, slot.client))
    if not gone:
        known = ", ".join(sorted({slot.client for slot in held.tokens})) or "nobody"
        raise TokenError(
            f"no token has the id or the client {which!r}; there are tokens of {known}"
        )
    return TokenSet(tuple(slot for slot in held.tokens if slot not in gone)), gone


def tidied(held: TokenSet, now: float, used: Mapping[str, float]) -> TokenSet:
    """Without what ended more than 30 days ago: until then the list says what became of it."""
    return TokenSet(
        tuple(
            slot
            for slot in held.tokens
            if slot.state(now, used) in ("valid", "replaced")
            or now - min(slot.expires, slot.ends or slot.expires) < 30 * DAY_SECONDS
        )
    )


def _valid(held: TokenSet, client: str, now: float, used: Mapping[str, float]) -> list[Slot]:
    return [
        slot
        for slot in held.tokens
        if slot.client == client and slot.state(now, used) in ("valid", "replaced")
    ]


def _new(
    held: TokenSet, client: str, scopes: tuple[Scope, ...], expires: float, now: float
) -> tuple[Slot, str]:
    taken = {slot.id for slot in held.tokens}
    name = secrets.token_hex(ID_BYTES)
    while name in taken:
        name = secrets.token_hex(ID_BYTES)
    token = f"lookout_{name}_{secrets.token_urlsafe(SECRET_BYTES)}"
    slot = Slot(
        id=name, client=client, sha256=digest(token), scopes=scopes, created=now, expires=expires
    )  # fmt: skip
    return slot, token
