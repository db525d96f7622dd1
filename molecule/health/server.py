#!/usr/bin/python3
"""Endpoints to look at: server.py FOLDER, which holds the certificate of the second one.

Port 8480 answers by the path: /500 with that status, /hang after a minute, /slow byte by byte,
anything else with "all is well". Port 8481 does the same over TLS.
"""

from __future__ import annotations

import http.server
import ssl
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the path asks."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/hang":
            time.sleep(60)
        self.send_response(500 if self.path == "/500" else 200)
        self.end_headers()
        for byte in b"all is well" * (9 if self.path == "/slow" else 1):
            time.sleep(0.3 if self.path == "/slow" else 0)
            self.wfile.write(bytes([byte]))
            self.wfile.flush()


if __name__ == "__main__":
    plain = http.server.ThreadingHTTPServer(("127.0.0.1", 8480), Handler)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    secure = http.server.ThreadingHTTPServer(("127.0.0.1", 8481), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{sys.argv[1]}/expired.pem", f"{sys.argv[1]}/expired.key")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    secure.serve_forever()
