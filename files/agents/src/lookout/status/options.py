"""The configuration of the status page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookout.kit.config import ConfigError, option
from lookout.kit.options import Options
from lookout.status import kinds, tasks
from lookout.status.registry import KIND, NAME, Failed


@dataclass(frozen=True)
class TaskOptions:
    """One task: what is tried, how often, and for how long at most."""

    kind: str = option(pattern=KIND, must="be a name of a kind, such as website_access")
    # What people call it
    title: str = option("", at_most=80)
    # As its timer; nothing is known of a task that has not run for twice as long.
    every_minutes: int = option(10, at_least=1, at_most=1440)
    timeout_seconds: float = option(60.0, at_least=1, at_most=3600)
    # What takes longer counts as failed.
    slow_seconds: float | None = option(None, above=0)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PageOptions:
    """The page. Address and certificates are those of the section `metrics`."""

    port: int = option(9702, at_least=1, at_most=65535)
    title: str = option("Status", at_least=1, at_most=80)


@dataclass(frozen=True)
class ReportOptions:
    """The database that reports ask, and what one may take."""

    user: str = option(pattern=r"\S+", must="be the name of a role that may only read")
    host: str = option("127.0.0.1", pattern=r"\S+", must="be a name, an address or a folder")
    port: int = option(5432, at_least=1, at_most=65535)
    database: str = option("postgres", pattern=r"\S+", must="be a name without spaces")
    password_credential: str = ""
    tls: bool = True
    ca_file: Path | None = None
    timeout_seconds: float = option(300.0, at_least=1, at_most=7200)
    most_rows: int = option(1000, at_least=1, at_most=100_000)


@dataclass(frozen=True)
class NotifyOptions:
    """Who is told when a task begins to fail, and when it works again."""

    # Holds Apprise's URLs, one a line: they have passwords in them.
    urls_credential: str = option("", pattern=r"[a-z0-9_]*", must="be a name of a credential")
    timeout_seconds: float = option(60.0, at_least=1, at_most=600)
    # For the link in a message
    page_url: str = option("", pattern=r"(https?://\S+)?", must="be an address, such as https://…/")


@dataclass(frozen=True, kw_only=True)
class StatusOptions(Options):
    """All of it."""

    database: Path = Path("/var/lib/lookout/status/status.db")
    # In memory: what people were told, for when the disk is full
    told_directory: Path = Path("/run/lookout/status")
    task_classes: Path = Path("/etc/lookout/status-tasks.d")
    reports_directory: Path = Path("/etc/lookout/status/reports")
    keep_days: int = option(90, at_least=1, at_most=3650)
    page: PageOptions = PageOptions()
    reports: ReportOptions | None = None
    notify: NotifyOptions = NotifyOptions()
    tasks: dict[str, TaskOptions] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Names of tasks, and the options of the kinds that come with the program."""
        for name, entry in self.tasks.items():
            if not re.fullmatch(NAME, name):
                yield (
                    f"tasks.{name}: a name has small letters, digits and hyphens,"
                    f" such as database-access"
                )
            every = entry.every_minutes
            if 60 % every and (every % 60 or 1440 % every):
                yield f"tasks.{name}.every_minutes: must divide an hour or a day, got {every}"
            if entry.slow_seconds is not None and entry.slow_seconds > entry.timeout_seconds:
                yield f"tasks.{name}.slow_seconds: must be at most timeout_seconds"
            # A class of the site's own is loaded when it is run, so that it breaks nothing else.
            if entry.kind in tasks.BUILT_IN:
                yield from self._wrong_options(name, entry)

    def _wrong_options(self, name: str, entry: TaskOptions) -> Iterator[str]:
        try:
            kinds.build(entry, self.task_classes)
        except ConfigError as error:
            for problem in error.problems:
                yield f"tasks.{name}." + problem.replace("options: ", "options.", 1).replace(
                    " ", ": ", 1
                )
        except Failed as error:
            yield f"tasks.{name}.kind: {error}"

    def title_of(self, name: str) -> str:
        """What people call a task."""
        entry = self.tasks.get(name)
        return (entry.title if entry else "") or name.replace("-", " ").capitalize()
