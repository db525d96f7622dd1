"""A past that Prometheus knows, and the jobs as their timers start them."""

from __future__ import annotations

from hosts import CURL, wait_for
from testinfra.host import Host

URL = "https://127.0.0.1:9704"
DAYS = 10
# Ten days as Prometheus would have scraped them: a load that follows the day, a disk that is full
# in three days, and what never moves.
SAMPLES = f"""
import math, time
end = int(time.time()) // 300 * 300
times = range(end - {DAYS} * 86400, end + 1, 300)
def load(at):
    noise = math.sin(at * 12.9898) * 43758.5453
    return 50 + 20 * math.sin(2 * math.pi * at / 86400) + noise - math.floor(noise)
for name, host, value in (
    ("load", "a", load),
    ("load", "b", lambda at: load(at) / 2),
    ("disk", "a", lambda at: 91 - (end - at) / 86400 * 3 + load(at) / 1000),
    ("flat", "a", lambda at: 3),
):
    if host == "a":
        print(f"# TYPE lookout_test_{{name}} gauge")
    for at in times:
        print(f'lookout_test_{{name}}{{{{instance="{{host}}"}}}} {{value(at)}} {{at}}')
print("# EOF")
"""


def bring(host: Host) -> None:
    """Let Prometheus know the past, trained and forecast; not again within ten minutes."""
    if host.check_output("find /root -maxdepth 1 -name samples.txt -mmin -10"):
        return
    host.check_output(
        "systemctl stop prometheus && python3 -c %s > /root/samples.txt"
        " && promtool tsdb create-blocks-from openmetrics /root/samples.txt"
        " /var/lib/prometheus/metrics2 && chown -R prometheus: /var/lib/prometheus/metrics2"
        " && systemctl start prometheus",
        SAMPLES,
    )
    wait_for(lambda: host.run(f"{CURL} https://127.0.0.1:9090/-/ready").rc == 0, 60)
    host.check_output("lookout-token revoke keeper || test $? = 2")
    host.check_output("lookout-token create keeper")
    assert run(host, "train") == 0
    assert run(host, "forecast") == 0


def run(host: Host, job: str) -> int:
    """A job as its timer starts it; its exit status."""
    unit = f"lookout-forecaster-{job}.service"
    return int(host.run(f"systemctl reset-failed {unit} 2>/dev/null; systemctl start {unit}").rc)


def metrics(host: Host) -> list[str]:
    return str(host.check_output(f"{CURL} {URL}/metrics")).splitlines()
