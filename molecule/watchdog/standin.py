"""A process that is watched: `standin.py MARK KIND`, where the kind is how it behaves.

`calm` starts two children and waits. `stubborn` does so and ignores SIGTERM, as its children do.
`large` holds 90 MB after three seconds. `storm` ignores SIGTERM, and forks processes that fork and
end.
"""

from __future__ import annotations

import os
import signal
import sys
import time

KIND = sys.argv[2]
LIVES_SECONDS = 120
LARGE_BYTES = 90_000_000
SMALL_SECONDS = 3

if KIND in ("stubborn", "storm"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if KIND in ("calm", "stubborn"):
    for _ in range(2):
        if os.fork() == 0:
            break
if KIND == "large":
    time.sleep(SMALL_SECONDS)
held = b"x" * LARGE_BYTES if KIND == "large" else b""
ends = time.monotonic() + LIVES_SECONDS
while time.monotonic() < ends:
    if KIND == "storm" and os.fork() == 0:
        for _ in range(2):
            if os.fork():
                os._exit(0)
        time.sleep(0.05)
        os._exit(0)
    time.sleep(0.01 if KIND == "storm" else 1)
