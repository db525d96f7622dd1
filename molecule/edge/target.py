"""A program of a robot that is scraped: `target.py SERIES`, on port 8900.

`/metrics` has so many series, whose values wander as those of joints do. `/beat` counts how often
it was asked.
"""

from __future__ import annotations

import itertools
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERIES = int(sys.argv[1])
JOINTS = 20
BEATS = itertools.count()
WANDER = random.Random(7)  # noqa: S311
values = [WANDER.uniform(0, 100) for _ in range(SERIES)]


def many() -> str:
    """Some values change a little, others stay, as on a machine."""
    for number in WANDER.sample(range(SERIES), SERIES // 2):
        values[number] += WANDER.gauss(0, 0.5)
    return "".join(
        f'robot_joint_{number // JOINTS}_value{{joint="joint-{number % JOINTS}"}} {value:.3f}\n'
        for number, value in enumerate(values)
    )


class Handler(BaseHTTPRequestHandler):
    """Keeps its connections, as exporters do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        text = f"edge_beat {next(BEATS)}\n" if self.path == "/beat" else many()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


ThreadingHTTPServer(("127.0.0.1", 8900), Handler).serve_forever()
