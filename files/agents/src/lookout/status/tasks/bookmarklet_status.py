"""A script that people start by a bookmark is there, and is the one that it should be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import option
from lookout.status.registry import Context, Failed, Outcome, task
from lookout.status.tasks.web import URL, Browser, expect

TYPES = ("text/javascript", "application/javascript", "application/x-javascript")


@task("bookmarklet_status")
@dataclass(frozen=True, kw_only=True)
class BookmarkletStatus:
    """Options: the script's address, and its hash or a text of it."""

    # Address of the script
    url: str = option(pattern=URL)
    # Its hash, for one that never changes
    sha256: str = option("", pattern=r"([0-9a-f]{64})?")
    # What has to stand in it
    expect_text: str = ""
    # CA of the website; the system's without one
    ca_file: Path | None = None

    def problems(self) -> Iterator[str]:
        """A script of which nothing is known cannot be checked."""
        if not self.sha256 and not self.expect_text:
            yield "sha256: set this or expect_text"

    def run(self, context: Context) -> Outcome:
        """Fetch the script; a page with an error in its place has another type."""
        answer = Browser(context.timeout_seconds, self.ca_file).ask(self.url)
        expect(answer, 200, "")
        if answer.content_type not in TYPES:
            raise Failed(f"its type is {answer.content_type}, which no browser runs")
        found = hashlib.sha256(answer.body).hexdigest()
        if self.sha256 and found != self.sha256:
            raise Failed(f"the script is another one: its hash is {found}")
        if self.expect_text and self.expect_text not in answer.text:
            raise Failed(f"the script does not hold the text {self.expect_text!r}")
        return Outcome(True, f"{len(answer.body)} bytes")
