"""Puts the page over its history, and serves it."""

from __future__ import annotations

import logging

from lookout.kit.program import Kit
from lookout.kit.web import server
from lookout.status import metrics, storage
from lookout.status.options import StatusOptions
from lookout.status.service import History
from lookout.status.web.app import application

LOG = logging.getLogger("lookout.status")


def serve(options: StatusOptions, kit: Kit) -> int:
    """Serve until a signal ends it."""
    # Whatever it is, the page says so and goes on.
    try:
        storage.ensure(options.database)
    except Exception as error:
        LOG.error("the history cannot be opened, the page goes on: %s", error)
    past = History(options.database, kit.registry, kit.reports.message)
    metrics.register(kit.registry, options, past)
    app = application(options, past, kit.registry)
    return server.serve(app, options.page.port, options.metrics, kit, past.look)
