"""The services behind the gateway: what arrives there is what they answer with.

servers.py NAME TLS_FOLDER: over TLS on 8443, for clients of the CA alone; the same with wrong
certificates on 8444 and 8445; without TLS on 8080 of loopback, where a websocket says back what it
is told.
"""

import base64
import hashlib
import http.server
import json
import ssl
import sys
import threading
import time
import urllib.parse

NAME, TLS = sys.argv[1:]
SHARES = {"prometheus": "1", "echo": "0", "shop": "0.5"}


class Service(http.server.BaseHTTPRequestHandler):
    """Says what arrived, waits /slow?seconds, or answers with /status/CODE."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = int(url.path.rpartition("/")[2]) if url.path.startswith("/status/") else 200
        if url.path == "/slow":
            time.sleep(float(url.query))
        said = {
            "name": NAME,
            "method": self.command,
            "path": self.path,
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "body_bytes": len(body),
            "client": self.client_address[1],
        }
        if url.path == "/api/v1/query":
            result = [{"metric": {"job": job}, "value": [0, up]} for job, up in SHARES.items()]
            said["data"] = {"resultType": "vector", "result": result}
        self.send(status, json.dumps(said).encode())

    def send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
        else:
            self.answer()

    do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def websocket(self) -> None:
        """One short frame there and back (RFC 6455)."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        head = self.rfile.read(2)
        mask = self.rfile.read(4)
        sent = self.rfile.read(head[1] & 127)
        said = bytes(byte ^ mask[index % 4] for index, byte in enumerate(sent))
        self.wfile.write(bytes([129, len(said)]) + said)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: what arrived is in the answer."""


class Server(http.server.ThreadingHTTPServer):
    """Does the handshake in the connection's own thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, port: int, certificate: str = "") -> None:
        super().__init__((address, port), Service)
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{TLS}/ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
            folder = f"{TLS}/{certificate}"
            context.load_cert_chain(f"{folder}/fullchain.pem", f"{folder}/privkey.pem")
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


for server in (
    Server("127.0.0.1", 8080),
    Server("", 8443, "host"),
    Server("", 8444, "test/impostor"),
    Server("", 8445, "test/stranger"),
):
    threading.Thread(target=server.serve_forever).start()
