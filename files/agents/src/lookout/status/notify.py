"""Tells people of a change by a way of its own, without Prometheus and Alertmanager."""

from __future__ import annotations

import logging

from lookout.kit import systemd
from lookout.status import runner
from lookout.status.options import StatusOptions
from lookout.status.records import Change

LOG = logging.getLogger("lookout.status")


def words(options: StatusOptions, change: Change) -> tuple[str, str]:
    """Return title and text of a message; a phone shows 160 signs of it."""
    title = options.title_of(change.task)
    link = f"\n{options.notify.page_url}task/{change.task}" if options.notify.page_url else ""
    if change.ok:
        took = duration(change.seconds)
        return f"{title} works again", f"after {took}: {change.message}{link}"
    return f"{title} fails", f"{change.message}{link}"


def duration(seconds: float) -> str:
    """A span of time in the unit that a person would take."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:  # noqa: PLR2004
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"  # noqa: PLR2004


def tell(options: StatusOptions, change: Change) -> None:
    """Send the message to all URLs, in a process that is ended when it takes too long."""
    if not options.notify.urls_credential:
        return
    try:
        listed = systemd.credential(options.notify.urls_credential) or ""
    except OSError as error:
        LOG.error("nobody was told: the URLs cannot be read: %s", error.strerror)
        return
    urls = [line.strip() for line in listed.splitlines()]
    urls = [line for line in urls if line and not line.startswith("#")]
    if not urls:
        return
    title, body = words(options, change)
    try:
        told = runner.within(options.notify.timeout_seconds, lambda: send(urls, title, body))
    except runner.Ended as error:
        LOG.error("the message may have reached nobody: %s", error)
        return
    lost = [index for index, arrived in enumerate(told, 1) if not arrived]
    if lost:
        # A URL holds a password: its number has to do.
        LOG.error("not told: URL %s of %d", ", ".join(map(str, lost)), len(urls))
    if len(lost) < len(urls):
        LOG.info("told %d of %d: %s", len(urls) - len(lost), len(urls), title)


def send(urls: list[str], title: str, body: str) -> list[bool]:
    """Send a message to each URL; what arrived."""
    import apprise  # noqa: PLC0415 -- 30 MB that are needed on a change alone

    # It logs addresses with all that is in them.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    arrived = []
    for url in urls:
        one = apprise.Apprise()
        arrived.append(bool(one.add(url)) and bool(one.notify(title=title, body=body)))
    return arrived
