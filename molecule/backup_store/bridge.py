"""Give the standard input and output of a command to whoever connects: bridge.py PORT ARG…"""

from __future__ import annotations

import socket
import subprocess
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            subprocess.run(
                sys.argv[2:], stdin=connection, stdout=connection, timeout=60, check=False
            )
