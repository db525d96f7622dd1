"""site.yml killed with -9 at a random task, run again, and once more.

After the second run every service runs what is on disk, and the third changes nothing.
LOOKOUT_KILLS says how often (2 in `make test`, 20 in `make test-faults`), LOOKOUT_SEED repeats
a run.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from fault_site import ROOT, Site
from hosts import CURL
from testinfra.host import Host

KILLS = int(os.environ.get("LOOKOUT_KILLS", "2"))
SEED = int(os.environ.get("LOOKOUT_SEED", str(random.SystemRandom().randrange(10**6))))
# Tasks that a run on a fresh monitoring host prints, a little less than all: each kill has to hit.
TASKS = 340
# Beyond the start of the task, so that the kill falls into it and not always before it
MOST_DELAY_SECONDS = 0.5


def kill_at(site: Site, task: int, delay: float) -> str:
    """Run site.yml, kill its whole process group in its n-th task, return that task's name."""
    process = subprocess.Popen(
        site.command(),
        cwd=ROOT,
        env={**site.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    seen, name = 0, ""
    for line in process.stdout:
        if line.startswith("TASK ["):
            seen, name = seen + 1, line[6:].rpartition("]")[0]
            if seen == task:
                time.sleep(delay)
                os.killpg(process.pid, signal.SIGKILL)
                break
    process.wait()
    process.stdout.close()
    assert seen == task, f"the run ended before task {task}"
    assert process.returncode == -signal.SIGKILL
    return name


def assert_runs_what_is_on_disk(host: Host) -> None:
    """Asked of the services themselves, not of the module that brought them there."""
    flags = json.loads(host.check_output(f"{CURL} https://127.0.0.1:9090/api/v1/status/flags"))
    on_disk = shlex.split(host.file("/etc/default/prometheus").content_string.split('"')[1])
    for flag in on_disk:
        name, _, value = flag.removeprefix("--").partition("=")
        shown = flags["data"][name]
        if not name.endswith("retention.size"):  # shown in other units
            assert shown == (value or "true"), name
    changed = int(host.check_output("stat -c %Z -- $(readlink -f /etc/prometheus/config)"))
    metrics = host.check_output(f"{CURL} https://127.0.0.1:9090/metrics")
    loaded = re.search(
        r"^prometheus_config_last_reload_success_timestamp_seconds (\S+)", metrics, re.M
    )
    assert loaded
    assert float(loaded[1]) >= changed
    for unit, variable in {
        "prometheus": "config.file=/etc/prometheus/config/prometheus.yml",
        "prometheus-alertmanager": "config.file=/etc/prometheus/alertmanager/alertmanager.yml",
        "prometheus-blackbox-exporter": "config.file=/etc/prometheus/blackbox/blackbox.yml",
        "prometheus-node-exporter": "collector.systemd.enable-restarts-metrics",
    }.items():
        pid = host.check_output(f"systemctl show --property=MainPID --value {unit}")
        arguments = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/cmdline")
        assert f"--{variable}" in arguments.splitlines(), unit
        assert "NoNewPrivs:\t1" in host.check_output(f"cat /proc/{pid}/status"), unit
    assert_grafana_runs_what_is_on_disk(host)
    digest = host.check_output("curl -fsS http://127.0.0.1:8081/config").strip()
    assert digest in host.file("/etc/nginx/config/digest.conf").content_string
    host.check_output("lookout-firewall status")


def assert_grafana_runs_what_is_on_disk(host: Host) -> None:
    """It reads its tree when it starts: it started after the tree was put there."""
    tree = host.check_output("readlink -f /etc/lookout/grafana")
    assert host.check_output("readlink -f /etc/lookout/grafana.loaded") == tree
    pid = host.check_output("systemctl show --property=MainPID --value grafana-server")
    assert "--config=/etc/lookout/grafana/grafana.ini" in host.check_output(
        f"tr '\\0' '\\n' < /proc/{pid}/cmdline"
    )
    changed = int(host.check_output("stat -c %Z -- /etc/lookout/grafana"))
    started = host.check_output(f"echo $(( $(date +%s) - $(ps -o etimes= -p {pid}) ))")
    assert int(started) + 1 >= changed
    host.check_output(
        "curl -fsS --cacert /etc/lookout/tls/ca.pem --netrc-file /etc/lookout/grafana/secrets/netrc"
        " https://127.0.0.1:3000/grafana/api/dashboards/uid/system-overview"
    )


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run_converges_when_it_is_run_again(
    new_site: Callable[[], Site], number: int
) -> None:
    chance = random.Random(SEED + number)  # noqa: S311 - a test has to be repeatable
    task, delay = chance.randint(1, TASKS), chance.uniform(0, MOST_DELAY_SECONDS)
    site = new_site()
    name = kill_at(site, task, delay)
    where = f"LOOKOUT_SEED={SEED}, kill {number}: task {task} ({name}) after {delay:.2f} s"
    print(where)
    again = site.run()
    assert again.returncode == 0, f"{where}\n{again.stdout[-3000:]}"
    assert_runs_what_is_on_disk(site.host)
    third = site.run()
    assert re.search(r"^mon .* changed=0 .*failed=0", third.stdout, re.M), (
        f"{where}\n{third.stdout[-6000:]}"
    )
