"""A receiver of webhooks: one line of JSON for each request, with its path and body."""

import http.server
import json
import sys
import time


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        line = json.dumps({"path": self.path, "at": time.time(), "body": json.loads(body)})
        with open(sys.argv[2], "a", encoding="utf-8") as log:
            log.write(line + "\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: what arrived is in the log."""


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook).serve_forever()
