"""Where a directory should be: something that speaks no TLS, and notes what it is told.

Asked for StartTLS (an LDAP request, which begins with 0x30) it answers that it has none; to a TLS
handshake it says the same, which is no TLS. It ends by itself after a minute.
"""

from __future__ import annotations

import socketserver
import threading
import time
from pathlib import Path

HEARD = Path("/root/heard")
# An extended response to message 1: protocolError
NO_TLS = bytes.fromhex("300c02010178070a010204000400")


class Ear(socketserver.BaseRequestHandler):
    """Notes everything, and refuses it."""

    def handle(self) -> None:
        self.request.settimeout(10)
        try:
            while told := self.request.recv(4096):
                with HEARD.open("ab") as file:
                    file.write(told)
                self.request.sendall(NO_TLS)
        except OSError:
            return


HEARD.write_bytes(b"")
for port in (389, 636):
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("", port), Ear)
    threading.Thread(target=server.serve_forever, daemon=True).start()
time.sleep(60)
