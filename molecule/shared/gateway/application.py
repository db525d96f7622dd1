"""An application behind the gateway: /status/NUMBER answers so, /wait/MILLISECONDS that late."""

import http.server
import time
from collections.abc import Callable


class Application(http.server.BaseHTTPRequestHandler):
    """Answers every method in the same way."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        what, _, number = self.path.partition("?")[0].rpartition("/")
        if what.endswith("/wait"):
            time.sleep(int(number) / 1000)
        status = int(number) if what.endswith("/status") else 200
        body = b"" if status == 204 else b"Good day\n"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: nginx logs."""


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Application).serve_forever()
