"""A page of a website answers, with the text that belongs there."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from lookout.kit.config import option
from lookout.status.registry import Context, Outcome, task
from lookout.status.tasks.web import URL, Browser, expect


@task("website_access")
@dataclass(frozen=True, kw_only=True)
class WebsiteAccess:
    """Options: the address, what it has to answer, whose certificates are accepted."""

    # Address of the page
    url: str = option(pattern=URL)
    expect_status: int = option(200, at_least=100, at_most=599)
    # What has to stand in the page
    expect_text: str = ""
    # CA of the website; the system's without one
    ca_file: Path | None = None
    # Name for basic authentication
    user: str = ""
    # File with its password
    password_credential: str = ""

    def run(self, context: Context) -> Outcome:
        """Fetch the page and look at status and text."""
        headers = {}
        if self.user:
            password = context.credential(self.password_credential)
            pair = base64.b64encode(f"{self.user}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        answer = Browser(context.timeout_seconds, self.ca_file).ask(self.url, headers=headers)
        expect(answer, self.expect_status, self.expect_text)
        return Outcome(True, f"status {answer.status}, {len(answer.body)} bytes")
