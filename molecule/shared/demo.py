"""Build, verify and remove the demo: one throwaway host that `site.yml` turns into a monitored one.

What the playbooks say goes to the screen and to .cache/logs/demo.log.
"""

from __future__ import annotations

import base64
import http.client
import json
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
from grafana import repository

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
    "Status page": "/status/",
    "Errors": "/bugsink/accounts/login/",
}
GRAFANA = "/grafana/login"
# People of the demo's directory, and what they may do in Grafana
PEOPLE = {"ada": "Admin", "edgar": "Editor", "vera": "Viewer"}
# The disk of the demo's backups: it outlives the host, as one of a site would
BACKUPS = f"{RUN_ID}-backups"
# NET_ADMIN for the firewall, NET_RAW for pings; /srv so that there is a disk to measure
CAPABILITIES = ["--cap-add=NET_ADMIN", "--cap-add=NET_RAW"]
OPTIONS = [
    *(f"--publish=127.0.0.1:{PORT}:443", "--volume=/srv", f"--volume={BACKUPS}:/backup"),
    *CAPABILITIES,
]
DIRECTORY = testbed.ROOT / "inventories/demo_directory"


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


def grafana_settings() -> dict[str, object] | None:
    """How the demo comes by Grafana's package; None where nobody here has it.

    The stand-in of the tests is no Grafana, and not shown as one.
    """
    about = repository.ensure()
    if about["kind"] == "stand-in":
        return None
    return {
        "grafana_repository_url": "file:/srv/grafana",
        "grafana_repository_key_url": "file:/srv/grafana/key.asc",
        "grafana_repository_key_fingerprints": [about["fingerprint"]],
        "grafana_required": True,
    }


def fill_directory(known: str) -> None:
    """Everybody in the directory has the password of the demo; it is on no command line."""
    for person in PEOPLE:
        dn = f"uid={person},ou=people,dc=example,dc=com"
        set_it = (
            f"umask 077; cat > /run/new; ldappasswd -Q -Y EXTERNAL -H ldapi:/// -T /run/new {dn}"
        )
        testbed.podman(
            "exec", "--interactive", f"{RUN_ID}-directory", "sh", "-ec", set_it, input=known
        )


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


def ask(method: str, path: str, headers: dict[str, str], body: str = "") -> int:
    """The status of a server that the demo's CA vouches for; 0 where there is none."""
    context = ssl.create_default_context(cafile=str(SECRETS / "tls/ca.pem"))
    connection = http.client.HTTPSConnection("localhost", PORT, timeout=10, context=context)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def answers(path: str) -> bool:
    """Whether the page is there for who signs in."""
    signed_in = base64.b64encode(f"{USER}:{password()}".encode()).decode()
    return ask("GET", path, {"Authorization": f"Basic {signed_in}"}) == http.HTTPStatus.OK


def signs_in(person: str) -> bool:
    """Whether Grafana lets somebody in whom the directory knows."""
    body = json.dumps({"user": person, "password": password()})
    headers = {"Content-Type": "application/json"}
    return ask("POST", GRAFANA, headers, body) == http.HTTPStatus.OK


def hosts(settings: dict[str, object] | None) -> list[dict[str, object]]:
    """The demo's host, and the directory beside it where Grafana is to be had."""
    demo: dict[str, object] = {
        "name": "demo",
        "suite": "trixie",
        "options": OPTIONS,
        "prometheus": True,
    }
    if not settings:
        return [demo]
    mount = f"--volume={repository.REPOSITORY.resolve()}:/srv/grafana:O"
    directory: dict[str, object] = {
        "name": "directory",
        "suite": "trixie",
        "options": CAPABILITIES,
    }
    return [{**demo, "options": [*OPTIONS, mount]}, directory]


def inventory(settings: dict[str, object] | None) -> list[str]:
    """What the playbooks are told beside the demo's own inventory."""
    return ["-i", str(DIRECTORY), "--extra-vars", json.dumps(settings)] if settings else []


def build(known: str, settings: dict[str, object] | None) -> None:
    """Start the hosts and run the playbooks against them."""
    testbed.up(RUN_ID, hosts(settings))
    LOG.parent.mkdir(parents=True, exist_ok=True)
    told = inventory(settings)
    with LOG.open("w", encoding="utf-8") as log:
        playbook(log, *told, "site.yml")
        if settings:
            playbook(log, *told, "molecule/grafana/directory.yml")
            fill_directory(known)
        playbook(log, *told, "playbooks/verify.yml")


def forget_backups() -> None:
    """Delete what the demo saved; without its secrets nobody can read it."""
    testbed.podman("volume", "rm", "--force", BACKUPS)


def down() -> None:
    """Remove all of the demo."""
    testbed.down(RUN_ID)
    forget_backups()
    for folder in (SECRETS, SECRETS.with_name("reports")):
        shutil.rmtree(folder, ignore_errors=True)


def up() -> None:
    testbed.down(RUN_ID)
    if not SECRETS.exists():
        forget_backups()
    ensure_port_is_free()
    known = password()
    settings = grafana_settings()
    build(known, settings)
    pages = {**PAGES, **({"Grafana": GRAFANA} if settings else {})}
    silent = [name for name, path in pages.items() if not answers(path)]
    silent += [f"Grafana for {name}" for name in (PEOPLE if settings else ()) if not signs_in(name)]
    print()
    for name, path in pages.items():
        state = "does not answer" if name in silent else "answers"
        print(f"  {name:<14} {URL}{path}  {state}")
    print(f"\nSign in as `{USER}` with `{known}`.")
    if settings:
        people = ", ".join(f"`{name}` ({role})" for name, role in PEOPLE.items())
        print(f"In Grafana, with the same password: {people}, whom the directory beside it knows.")
    else:
        print(
            "Grafana is left out: its repository is out of reach from here.\n"
            "`GRAFANA_DEB=/path/grafana.deb make demo` takes a package that you have."
        )
    print(
        "The certificate is the demo's own: have the browser trust\n"
        "inventories/demo/secrets/tls/ca.pem, or click its warning away.\n"
        "`make demo-down` removes the demo."
    )
    if silent:
        raise testbed.TestbedError(f"no answer from {', '.join(silent)}")


def main() -> int:
    try:
        if sys.argv[1:] == ["down"]:
            down()
            print("The demo is gone.")
        else:
            up()
    except testbed.TestbedError as error:
        testbed.say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
