"""Drives a browser as a worker does, and blocks as a worker does when the browser hangs.

It starts Firefox, asks it by Marionette (the protocol that geckodriver speaks) whether it answers,
and validates it each time. It waits for the answer without a limit. When the browser is gone it
says so, and goes on with the next one.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time

PROFILE, PORT = sys.argv[1], 2828


def say(text: str) -> None:
    """Say what happened, with the time."""
    print(f"{time.time():.3f} {text}", flush=True)


def answers() -> bool:
    """Wait for the browser's greeting; False once there is nobody to send one."""
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        return connection.recv(64) != b""


def drive() -> None:
    """Use a browser for as long as it lives."""
    profile = tempfile.mkdtemp(prefix=PROFILE)
    argv = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", profile]
    browser = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    say(f"started {browser.pid} {profile}")
    while browser.poll() is None:
        try:
            if answers():
                subprocess.run(["lookout-validate", str(browser.pid)], check=True, timeout=10)
                say(f"validated {browser.pid}")
        except OSError:
            pass  # it does not listen yet, or not any more
        time.sleep(1)
    say(f"ended {browser.pid} {browser.returncode}")
    shutil.rmtree(profile, ignore_errors=True)


while True:
    drive()
    say("goes on")
