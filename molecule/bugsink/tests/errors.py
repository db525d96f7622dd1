"""Bugsink of one host: told errors as programs do, looked at as people and Prometheus do."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from hosts import CURL, put, wait_for
from testinfra.host import Host

from plugins.filter.bugsink import bugsink_dsn

UNIT = "bugsink.service"
WORKER = "bugsink-worker.service"
CONFIG = "/etc/lookout/bugsink"
DIRECT = "https://127.0.0.1:9703"
ADMIN = "admin"
PASSWORD_FILE = "/root/bugsink.password"  # noqa: S105
AS_VISITOR = "curl -sS --max-time 20 --cacert /etc/lookout/tls/ca.pem"
SEND = Path(__file__).with_name("send.py")
FAILING = Path(__file__).with_name("failing.py")


def secret(name: str) -> str:
    """A secret of the site, as the control node keeps it."""
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory", "secrets")
    return (folder / name).read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Bugsink:
    """The service of one host, behind the gateway of the same host."""

    host: Host
    name: str

    @property
    def url(self) -> str:
        return f"https://{self.name}/bugsink"

    def dsn(self, project: str) -> str:
        return bugsink_dsn(project, self.url, secret("bugsink_projects"))

    # --- programs ---

    def tell(self, dsn: str, text: str, count: int = 1) -> None:
        """As a user who may do nothing; the SDK drops what is refused."""
        put(self.host, SEND)
        self.host.check_output("install -m 644 /root/send.py /tmp/send.py")
        told = f"runuser -u nobody -- python3 /tmp/send.py {shlex.quote(text)} {count}"
        self.host.check_output(f"printf %s {shlex.quote(dsn)} | {told}")

    def fail(self, dsn: str) -> None:
        """Let an agent fail that has loaded this DSN; it ends with 1."""
        put(self.host, FAILING)
        self.host.check_output(
            "rm -rf /tmp/agent && install -d -o nobody -m 700 /tmp/agent /tmp/agent/credentials"
            " && install -o nobody /root/failing.py /tmp/agent/failing.py"
            f" && printf %s {shlex.quote(dsn)}"
            " | install -o nobody -m 400 /dev/stdin /tmp/agent/credentials/sentry_dsn"
        )
        config = "{instance: app1, errors: {ca: /etc/lookout/tls/ca.pem}}"
        self.host.check_output("echo %s > /tmp/agent/health.yml", config)
        run = "runuser -u nobody -- env CREDENTIALS_DIRECTORY=/tmp/agent/credentials"
        ended = self.host.run(f"{run} python3 /tmp/agent/failing.py --config /tmp/agent/health.yml")
        assert ended.rc == 1, ended.stderr
        assert "ZeroDivisionError" in ended.stderr
        self.host.check_output("rm -rf /tmp/agent")

    def post(self, dsn: str) -> int:
        """The status that an envelope gets, without a password for the gateway."""
        found = re.fullmatch(r"https://([0-9a-f]+)@(.+)/(\d+)", dsn)
        assert found
        auth = f"X-Sentry-Auth: Sentry sentry_version=7, sentry_key={found[1]}"
        place = f"https://{found[2]}/api/{found[3]}/envelope/"
        words = [*AS_VISITOR.split(), "-o", "/dev/null", "-w", "%{http_code}", "-H", auth]
        words += ["-H", "Content-Type: application/x-sentry-envelope", "--data-binary", "{}\n"]
        return int(self.host.check_output(shlex.join([*words, place])))

    # --- Prometheus ---

    def metric(self, name: str, project: str = "") -> float:
        shown = self.host.check_output(f"{CURL} {DIRECT}/metrics")
        label = f'{{project="{project}"}}' if project else ""
        found = re.search(rf"^{re.escape(name + label)} (\S+)$", shown, re.MULTILINE)
        assert found, shown
        return float(found[1])

    def taken(self, project: str) -> int:
        return int(self.metric("bugsink_project_events_total", project))

    def takes(self, project: str, count: int) -> bool:
        """Whether so many events of it were digested, once they had their time."""
        # A worker that was killed takes half a minute to begin on a busy machine.
        return bool(wait_for(lambda: self.taken(project) == count, seconds=120))

    # --- people ---

    def sign_in(self, password_file: str = PASSWORD_FILE) -> str:
        """The page behind the form, with the cookies in /root/jar; the password is in a file."""
        self.host.check_output("rm -f /root/jar")
        asked = f"{AS_VISITOR} -c /root/jar -b /root/jar"
        place = f"{self.url}/accounts/login/"
        form = self.host.check_output(f"{asked} {place}")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token, form
        fields = f"-d csrfmiddlewaretoken={token[1]} -d username={ADMIN}"
        sent = f"{fields} --data-urlencode password@{password_file} -e {place}"
        return str(self.host.check_output(f"{asked} -L {sent} {place}"))

    def page(self, path: str) -> str:
        """What somebody sees who has signed in."""
        return str(self.host.check_output(f"{AS_VISITOR} -fL -b /root/jar {self.url}{path}"))

    # --- the service ---

    def django(self, code: str) -> str:
        """What Bugsink's own shell prints."""
        shell = ["runuser", "-u", "bugsink", "--", "env", f"--chdir={CONFIG}"]
        shell += [f"PYTHONPATH={CONFIG}", "PYTHONDONTWRITEBYTECODE=1"]
        shell += ["/opt/lookout/bugsink/current/bin/bugsink-manage", "shell", "-v0", "-c", code]
        return str(self.host.check_output(shlex.join(shell)))
