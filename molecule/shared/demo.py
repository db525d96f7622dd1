"""Build, verify and remove the demo: one throwaway host that `site.yml` turns into a monitored one.

What the playbooks say goes to the screen and to .cache/logs/demo.log.
"""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import bcrypt
import testbed

RUN_ID = "lookout-demo"
LOG = testbed.CACHE / "logs" / "demo.log"
SECRETS = testbed.ROOT / "inventories/demo/secrets"
USER = "demo"
PORT = 8443
URL = f"https://localhost:{PORT}"
# what it is -> path that answers
PAGES = {
    "Portal": "/",
    "Prometheus": "/prometheus/classic/graph",
    "alerts": "/prometheus/classic/alerts",
    "Alertmanager": "/alertmanager/",
}
# NET_ADMIN for the firewall, NET_RAW for pings, /srv so that there is a disk to measure
OPTIONS = [
    f"--publish=127.0.0.1:{PORT}:443",
    "--cap-add=NET_ADMIN",
    "--cap-add=NET_RAW",
    "--volume=/srv",
]


def ensure_port_is_free() -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            raise testbed.TestbedError(
                f"port {PORT} of this machine is taken: "
                f"`ss -tlnp sport = :{PORT}` names the program; stop it"
            )


def write_private(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(f"{text}\n")


def password() -> str:
    """The password of this checkout's demo, made where there is none."""
    plain, hashed = SECRETS / "demo_password", SECRETS / "demo_password.bcrypt"
    if not hashed.exists():
        made = secrets.token_urlsafe(12)
        write_private(plain, made)
        made_hash = bcrypt.hashpw(made.encode(), bcrypt.gensalt(8)).decode()
        write_private(hashed, made_hash.replace("$2b$", "$2y$", 1))
    return plain.read_text(encoding="ascii").strip()


def playbook(log: TextIO, *arguments: str) -> None:
    argv = ["ansible-playbook", "-i", "inventories/demo", *arguments]
    with subprocess.Popen(
        argv, cwd=testbed.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout
        for line in running.stdout:
            print(line, end="", flush=True)
            log.write(line)
    if running.returncode != 0:
        raise testbed.TestbedError(
            f"`{' '.join(argv)}` failed, see above or {LOG}. The host is left for a look (`make "
            "shell`, then `podman exec -it lookout-demo-demo bash`); `make demo-down` removes it."
        )


def answers(path: str) -> bool:
    """Whether the page is there for who signs in, on a server that the demo's CA vouches for."""
    signed_in = base64.b64encode(f"{USER}:{password()}".encode()).decode()
    context = ssl.create_default_context(cafile=str(SECRETS / "tls/ca.pem"))
    connection = http.client.HTTPSConnection("localhost", PORT, timeout=10, context=context)
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {signed_in}"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def up() -> None:
    testbed.down(RUN_ID)
    ensure_port_is_free()
    testbed.up(RUN_ID, [{"name": "demo", "suite": "trixie", "options": OPTIONS}])
    LOG.parent.mkdir(parents=True, exist_ok=True)
    known = password()
    with LOG.open("w", encoding="utf-8") as log:
        playbook(log, "site.yml")
        playbook(log, "playbooks/verify.yml")
    silent = [name for name, path in PAGES.items() if not answers(path)]
    print()
    for name, path in PAGES.items():
        state = "does not answer" if name in silent else "answers"
        print(f"  {name:<14} {URL}{path}  {state}")
    print(
        f"\nSign in as `{USER}` with `{known}`. The certificate is the demo's own: have the\n"
        "browser trust inventories/demo/secrets/tls/ca.pem, or click its warning away.\n"
        "`make demo-down` removes the demo."
    )
    if silent:
        raise testbed.TestbedError(f"no answer from {', '.join(silent)}")


def main() -> int:
    try:
        if sys.argv[1:] == ["down"]:
            testbed.down(RUN_ID)
            shutil.rmtree(SECRETS, ignore_errors=True)
            print("The demo is gone.")
        else:
            up()
    except testbed.TestbedError as error:
        testbed.say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
