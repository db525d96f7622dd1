"""What the hosts are asked for, and the load that is forecast."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

from hosts import CURL, put, wait_for
from testinfra.host import Host

FILES = Path(__file__).parents[1] / "files"
UNIT = "lookout-forecaster.service"
URL = "https://127.0.0.1:9704"
GATEWAY = "https://localhost/forecaster"
SITE_CURL = "curl -sS --cacert /etc/lookout/tls/ca.pem"
MODELS = "/var/lib/lookout/models"
TEXT_FILE = "/var/lib/prometheus/node-exporter/load.prom"
# Of the series that jumps, and how long a value takes until Prometheus has it (molecule.yml)
STEP_SECONDS = 30
SCRAPED_SECONDS = 6
DATABASE = "/var/lib/prometheus/metrics2"


def run(host: Host, job: str) -> int:
    """A job as its timer starts it; its exit status."""
    unit = f"lookout-forecaster-{job}.service"
    return int(host.run(f"systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit}").rc)


def log_since(host: Host, began: str) -> str:
    """What the forecaster wrote since a moment that `now` gave."""
    return str(host.check_output(f"journalctl -u 'lookout-forecaster*' --since @{began} -o cat"))


def now(host: Host) -> str:
    return str(host.check_output("date +%s"))


def ask(host: Host, path: str, token: str, *options: str) -> tuple[int, Any]:
    """Status and body of an answer at the gateway."""
    given = host.check_output(
        f"{SITE_CURL} -w '\\n%{{http_code}}' {shlex.join(options)}"
        f" -H 'Authorization: Bearer {token}' '{GATEWAY}/api/v1/{path}'"
    )
    body, _, status = given.rpartition("\n")
    return int(status), json.loads(body) if body.startswith("{") else body


def series(host: Host, token: str) -> dict[str, dict[str, Any]]:
    """What is known of each series now, by `load web`."""
    status, said = ask(host, "series?limit=100", token)
    assert status == 200, said
    return {f"{one['series']} {one['target']}".strip(): one for one in said["series"]}


def models(host: Host, token: str) -> dict[str, dict[str, Any]]:
    """What came of each training, by `load web`."""
    status, said = ask(host, "models?limit=100", token)
    assert status == 200, said
    return {f"{one['series']} {one['target']}".strip(): one for one in said["models"]}


def metrics(host: Host) -> list[str]:
    return str(host.check_output(f"{CURL} {URL}/metrics")).splitlines()


def prometheus(host: Host, path: str, **parameters: str) -> Any:
    """What the Prometheus of the site answers."""
    asked = " ".join(f"--data-urlencode {shlex.quote(f'{k}={v}')}" for k, v in parameters.items())
    answer = host.check_output(f"{CURL} -G {asked} https://127.0.0.1:9090/api/v1/{path}")
    return json.loads(answer)["data"]


def fingerprints(host: Host) -> dict[str, str]:
    """SHA-256 of each model's file."""
    lines = host.check_output(f"cd {MODELS} && sha256sum *.json").splitlines()
    return {name: digest for digest, name in map(str.split, lines)}


def start_prometheus(host: Host) -> None:
    """It answers, and scrapes: a machine without room for another inotify instance stops here."""
    host.check_output("systemctl start prometheus")
    assert wait_for(lambda: host.run(f"{CURL} https://127.0.0.1:9090/-/ready").rc == 0, 60)
    wait_for_samples(host, 'up{job="node_exporter"} == 1')
    wait_for_samples(host, 'up{job="forecaster"} == 1')


def wait_for_samples(host: Host, query: str) -> None:
    assert wait_for(lambda: prometheus(host, "query", query=query)["result"], 90), query


def backfill(host: Host, command: str) -> None:
    """Prometheus knows the samples that a command of the host prints, as if it had scraped them.

    What it had not yet written into a block, and is older than their newest, it forgets.
    """
    host.check_output(f"cd /root && {command} > samples.txt")
    host.check_output("systemctl stop prometheus")
    host.check_output(
        "cd /root && promtool tsdb create-blocks-from --max-block-duration=336h openmetrics"
        f" samples.txt {DATABASE} && chown -R prometheus: {DATABASE} && rm samples.txt"
    )
    start_prometheus(host)


def fill(host: Host, jumped: int = 0) -> int:
    """Prometheus knows two weeks of the load up to now, and goes on to scrape it.

    So many hours ago it was too high, for an hour; 0: never.
    """
    put(host, FILES / "load.py")
    began = int(now(host)) // 60 * 60
    name = host.check_output("hostname")
    high = began - 3600 * jumped if jumped else 0
    backfill(host, f"python3 load.py past {name} {began} {high}")
    host.check_output(
        "systemctl stop lookout-test-load; systemd-run --quiet --unit=lookout-test-load"
        f" python3 /root/load.py live {TEXT_FILE} {began}"
    )
    wait_for_samples(host, f"timestamp(lookout_test_load) > {began}")
    return began


def wait_for_the_next_step(host: Host) -> None:
    """What is scraped from now on is the value of the step that has ended then."""
    time.sleep(SCRAPED_SECONDS)
    time.sleep(STEP_SECONDS + 1 - int(now(host)) % STEP_SECONDS)


def new_token(host: Host, client: str) -> str:
    """A program's first token, for everything."""
    host.check_output(f"lookout-token revoke {client} || test $? = 2")
    made = host.check_output(f"lookout-token create {client} --scope read --scope train")
    return str(made).strip()
