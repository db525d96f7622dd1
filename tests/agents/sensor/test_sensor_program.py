"""The whole program, as systemd starts it: what it serves, what it costs, and for how long."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRAPES = 10_000
# In one go, with a page now and then
ROUND = 500
MOST_GROWTH_BYTES = 512_000
MOST_RESIDENT_BYTES = 50_000_000


@dataclass
class Running:
    """The program, and one client that keeps its connection."""

    process: subprocess.Popen[bytes]
    client: http.client.HTTPConnection
    drops: Path

    def get(self, path: str) -> str:
        self.client.request("GET", path)
        answer = self.client.getresponse()
        assert answer.status == 200
        return answer.read().decode()

    def value(self, series: str) -> float:
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics"), re.MULTILINE)
        return float(found[1]) if found else -1

    def wait(self, series: str, wanted: float) -> bool:
        until = time.monotonic() + 10
        while self.value(series) != wanted and time.monotonic() < until:
            time.sleep(0.05)
        return self.value(series) == wanted


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    port, drops = free_port(), tmp_path / "drops"
    drops.mkdir()
    config = tmp_path / "sensor.yml"
    config.write_text(
        f"instance: robot1\nport: {port}\ninterval_seconds: 0.2\nfiles: {{directory: {drops}}}\n",
        encoding="utf-8",
    )
    argv = [sys.executable, "-m", "lookout.sensor", "--config", str(config)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    made = Running(process, client, drops)
    try:
        assert wait_for_collection(made), "it does not start"
        yield made
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        client.close()
        process.kill()
        process.wait()


def wait_for_collection(running: Running) -> bool:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            if running.value("sensor_collections_total") > 0:
                return True
        except OSError:
            # What was begun is over, so that the next one can begin.
            running.client.close()
        time.sleep(0.05)
    return False


def test_ten_thousand_scrapes_leave_nothing_behind(running: Running) -> None:
    (running.drops / "arm.txt").write_text("voltage 24 V\n", encoding="utf-8")

    def scrape(times: int) -> list[float]:
        took = []
        for number in range(times):
            began = time.perf_counter()
            running.get("/" if number % ROUND == 0 else "/metrics")
            took.append(time.perf_counter() - began)
        return sorted(took)

    scrape(2000)
    before = running.value("process_resident_memory_bytes")
    took = scrape(SCRAPES)
    after = running.value("process_resident_memory_bytes")
    print(
        f"{(after - before) / 1024:.0f} KiB more after {SCRAPES} scrapes, {after / 1e6:.1f} MB;"
        f" median {took[SCRAPES // 2] * 1000:.2f} ms, p99 {took[SCRAPES * 99 // 100] * 1000:.2f} ms"
    )
    assert after - before < MOST_GROWTH_BYTES
    assert after < MOST_RESIDENT_BYTES
    assert took[SCRAPES // 2] < 0.005


def test_a_dropped_value_is_served_until_it_is_rubbish(running: Running) -> None:
    series = 'sensor_value{name="voltage",source="arm",unit="V"}'
    file = running.drops / "arm.txt"
    file.write_text("voltage 24 V\n", encoding="utf-8")
    assert running.wait(series, 24)
    assert "arm voltage" in running.get("/")
    file.write_text("voltage 24", encoding="utf-8")
    assert running.wait('sensor_files_refused{reason="content"}', 1)
    assert running.value(series) == -1
    assert running.value("sensor_load1") >= 0


def test_without_the_folder_the_rest_is_served(running: Running) -> None:
    running.drops.rmdir()
    assert running.wait('sensor_source_failing{source="files"}', 1)
    assert running.value("sensor_memory_size_bytes") > 0
    running.drops.mkdir()
    assert running.wait('sensor_source_failing{source="files"}', 0)


def test_a_wrong_configuration_is_told(tmp_path: Path) -> None:
    config = tmp_path / "sensor.yml"
    config.write_text(
        "port: 99999\ndisks: [relative]\nmetrics: {port: 1}\nfiles: {max_age: 5}\n", "utf-8"
    )
    argv = [sys.executable, "-m", "lookout.sensor", "--config", str(config), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "port must be at most 65535" in done.stderr
    assert "disks[0] must be an absolute path" in done.stderr
    assert "files.max_age is not known here: did you mean max_age_seconds?" in done.stderr
