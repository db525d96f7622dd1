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
# An extended response: protocolError, and words for the log
NO_TLS = bytes.fromhex("78120a01020400040b") + b"no TLS here"


def answer(told: bytes) -> bytes:
    """A refusal with the number of the message, which comes right after its length."""
    number = told[2 : 4 + told[3]] if told[:1] == b"0" else b"\x02\x01\x01"
    return bytes([0x30, len(number) + len(NO_TLS)]) + number + NO_TLS


class Ear(socketserver.BaseRequestHandler):
    """Notes everything, and refuses it."""

    def handle(self) -> None:
        self.request.settimeout(10)
        try:
            while told := self.request.recv(4096):
                with HEARD.open("ab") as file:
                    file.write(told)
                self.request.sendall(answer(told))
        except OSError:
            return


HEARD.write_bytes(b"")
for port in (389, 636):
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("", port), Ear)
    threading.Thread(target=server.serve_forever, daemon=True).start()
time.sleep(60)
