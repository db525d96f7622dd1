#!/usr/bin/python3
"""Takes events as a Sentry server does, and keeps each one as a file.

sentry.py PORT FOLDER: with the host's certificate of the site. Both ways that sentry-sdk has of
sending an event are taken (`store` and `envelope`), with the wrong key none is. The event arrives
as <FOLDER>/<number>.json with the project in it.
"""

from __future__ import annotations

import gzip
import http.server
import itertools
import json
import ssl
import sys
from pathlib import Path
from typing import Any

KEY = "0123456789abcdef0123456789abcdef"
HOST = Path("/etc/lookout/tls/host")
numbers = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    """POST /api/<project>/store/ and /api/<project>/envelope/."""

    def do_POST(self) -> None:
        """Keep the event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if f"sentry_key={KEY}" not in self.headers.get("X-Sentry-Auth", ""):
            self.answer(403, {"detail": "no such key"})
            return
        _, _, project, way, *_ = self.path.split("/")
        # An envelope is a line of headers, then a line of headers and one of content for each item.
        event = json.loads(body if way == "store" else body.split(b"\n")[2])
        file = Path(sys.argv[2]) / f"{next(numbers)}.json"
        file.write_text(json.dumps({"project": project, "event": event}), encoding="utf-8")
        self.answer(200, {"id": event["event_id"]})

    def answer(self, status: int, what: dict[str, Any]) -> None:
        """Answer with JSON."""
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(what).encode())


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(HOST / "fullchain.pem", HOST / "privkey.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
