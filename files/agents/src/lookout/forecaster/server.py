"""Serves the API from what the jobs write."""

from __future__ import annotations

from lookout.forecaster.files import files
from lookout.forecaster.options import ForecasterOptions
from lookout.forecaster.web.app import application
from lookout.kit.program import Kit
from lookout.kit.web import server
from lookout.tokens.gate import Gate


def serve(options: ForecasterOptions, kit: Kit) -> int:
    """Serve until a signal ends it."""
    gate = Gate(options.api.tokens, files(options).used_tokens, kit.registry)
    app = application(options, gate, kit.registry)
    return server.serve(app, options.api.port, options.metrics, kit, gate.look)
