"""Whether a request is let in: what an API asks for each one."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from lookout.kit import config
from lookout.tokens import storage
from lookout.tokens.slots import Scope, Slot, TokenSet, find

log = logging.getLogger("lookout.tokens")

REASONS = ("missing", "unknown", "ended", "expired", "scope", "limited")
# Wrong attempts from one address; a client whose token ended asks about once a minute.
MOST_FAILURES = 10
PER_SECONDS = 60.0
# Addresses that are remembered, the latest ones
MOST_ADDRESSES = 1024


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in."""

    reason: str
    said: str
    # When to ask again, where too much was asked
    retry_seconds: int = 0


class Gate:
    """The tokens as their file has them now. Used from several threads.

    A right token is let in however many wrong ones come from the same address: whoever guesses
    cannot lock out whom the gateway speaks for.
    """

    def __init__(
        self,
        path: Path,
        used: Path,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._used_path, self._clock = path, used, clock
        self._lock = threading.Lock()
        self._held = TokenSet(())
        self._seen: tuple[int, ...] | None = None
        self._used = storage.read_used(used)
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._refused = Counter(
            "lookout_api_refused_requests",
            "Requests that were not let in, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            self._refused.labels(reason)
        self._whole = Gauge(
            "lookout_api_token_file_whole",
            "Whether the file of tokens can be read; the former tokens hold until it can.",
            registry=registry,
        )
        self._expires = Gauge(
            "lookout_api_token_expires_timestamp_seconds",
            "When the newest token of a client expires.",
            ["client"],
            registry=registry,
        )
        self.look()

    def look(self) -> None:
        """Read the file if it changed. A broken one leaves what there was."""
        with self._lock:
            self._look()

    def ask(self, token: str | None, scope: Scope, address: str) -> Slot | Refusal:
        """Whose token it is, where it is valid and opens `scope`; otherwise why not."""
        now = self._clock()
        with self._lock:
            self._look()
            if not token:
                return self._refuse(
                    Refusal("missing", "a token is needed: Authorization: Bearer TOKEN")
                )
            slot = find(self._held, token)
            state = slot.state(now, self._used) if slot else "unknown"
            if slot and state in ("valid", "replaced"):
                if scope not in slot.scopes:
                    return self._refuse(
                        Refusal("scope", f"this token may not {scope}: it has"
                                f" {', '.join(slot.scopes)}")
                    )  # fmt: skip
                self._note(slot, now)
                return slot
            wait = self._too_many(address, now)
            if wait:
                return self._refuse(Refusal("limited", "too many wrong tokens", wait))
            said = "this token is not known" if state == "unknown" else f"this token has {state}"
            return self._refuse(Refusal(state, said))

    def _refuse(self, refusal: Refusal) -> Refusal:
        self._refused.labels(refusal.reason).inc()
        return refusal

    def _note(self, slot: Slot, now: float) -> None:
        if slot.id in self._used:
            return
        self._used[slot.id] = now
        # What is gone from the file needs no note any more, unless it is what another one ended by.
        known = {name for one in self._held.tokens for name in (one.id, one.successor)}
        self._used = {name: at for name, at in self._used.items() if name in known}
        try:
            storage.write_used(self._used_path, self._used)
        except OSError as error:
            # It holds in memory; after a restart the former token ends by its time, or by a use.
            log.warning("the first use of token %s is not noted: %s", slot.id, error)
        else:
            log.info("token %s of %s is used for the first time", slot.id, slot.client)

    def _too_many(self, address: str, now: float) -> int:
        since, count = self._failed.pop(address, (now, 0))
        if not 0 <= now - since < PER_SECONDS:
            since, count = now, 0
        self._failed[address] = (since, count + 1)
        while len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)
        if count < MOST_FAILURES:
            return 0
        if count == MOST_FAILURES:
            log.warning("%s sends wrong tokens, %d in a minute", address, MOST_FAILURES)
        return max(1, round(PER_SECONDS - (now - since)))

    def _look(self) -> None:
        seen = self._state_of_file()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            # Whoever takes the file away has not revoked what is in it.
            self._held = config.load(TokenSet, self._path)
        except config.ConfigError as error:
            self._whole.set(0)
            log.error("the former tokens hold: %s", error)
            return
        self._whole.set(1)
        self._expires.clear()
        for slot in self._held.tokens:
            if slot.ends is None:
                self._expires.labels(slot.client).set(slot.expires)

    def _state_of_file(self) -> tuple[int, ...]:
        try:
            about = self._path.stat()
        except OSError:
            return ()
        # The time of change too: a file may get right by another owner or mode.
        return about.st_ino, about.st_mtime_ns, about.st_ctime_ns, about.st_size
