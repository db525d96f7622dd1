"""What is probed: pages, the same over TLS, and a port that says what an SSH server says first."""

import http.server
import socketserver
import ssl
import sys
import threading

STATUS_OF_PATH = {"/ok": 200, "/moved": 302, "/broken": 500}


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with the status that belongs to the path; /form takes a POST alone."""

    def do_GET(self) -> None:
        self.send_response(STATUS_OF_PATH.get(self.path, 404))
        if self.path == "/moved":
            self.send_header("Location", "/ok")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.send_response(200 if self.path == "/form" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: a probe every other second."""


class Banner(socketserver.BaseRequestHandler):
    """Says one line to whoever connects."""

    words = b"SSH-2.0-OpenSSH_9.9\r\n"

    def handle(self) -> None:
        self.request.sendall(self.words)
        self.request.recv(64)


class OtherBanner(Banner):
    """Says what is no SSH server."""

    words = b"220 mail.example.com ESMTP\r\n"


def serve(server: socketserver.BaseServer) -> None:
    threading.Thread(target=server.serve_forever).start()


serve(http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Page))
secure = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Page)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
secure.socket = context.wrap_socket(secure.socket, server_side=True)
serve(secure)
serve(socketserver.ThreadingTCPServer(("127.0.0.1", 2222), Banner))
serve(socketserver.ThreadingTCPServer(("127.0.0.1", 2223), OtherBanner))
