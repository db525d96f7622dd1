"""What every host of the site gets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from play import changed_tasks, converge
from testinfra.host import Host


@pytest.fixture
def name(host: Host) -> str:
    return str(host.check_output("hostname"))


def test_logs_are_rotated_daily_and_kept_90_days(host: Host) -> None:
    log = "/var/log/monitoring/probe.log"
    host.check_output(f"touch -d '2 days ago' {log} && echo x >> {log}")
    shown = host.check_output("logrotate --debug /etc/logrotate.d/lookout 2>&1")
    assert "(90 rotations)" in shown
    assert "after 1 days" in shown or "daily" in shown
    assert "probe.log" in shown
    host.check_output("logrotate --force /etc/logrotate.d/lookout")
    assert host.check_output("ls /var/log/monitoring").count("probe.log-") == 1


def test_logs_are_for_the_group_alone(host: Host) -> None:
    folder = host.file("/var/log/monitoring")
    assert (folder.user, folder.group, folder.mode) == ("root", "lookout", 0o2770)
    assert host.run("runuser -u nobody -- ls /var/log/monitoring").rc != 0


def test_security_upgrades_are_on_and_reboots_are_not(host: Host) -> None:
    settings = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in settings
    origins = host.check_output("unattended-upgrade --dry-run --verbose 2>&1 | head -n 5")
    assert "Debian-Security" in origins
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "logrotate.timer"):
        assert host.service(timer).is_running


def test_the_journal_keeps_to_its_limit(host: Host) -> None:
    """journald says at its start how much it may take."""
    said = host.check_output("journalctl --no-pager -o cat -u systemd-journald | grep -i 'max '")
    assert "max 500" in said.splitlines()[-1]


def test_the_clock_is_kept(host: Host) -> None:
    assert host.service("systemd-timesyncd").is_enabled


def make_ca(folder: Path) -> str:
    """A CA certificate that nobody has seen before."""
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem"),
            "-subj", "/CN=Lookout test CA", "-days", "2",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return (folder / "ca.pem").read_text("ascii")


def test_an_extra_ca_is_trusted_while_it_is_declared(host: Host, name: str, tmp_path: Path) -> None:
    ca = make_ca(tmp_path)
    host.check_output(f"cat > /tmp/ca.pem <<'END'\n{ca}END")
    verify = "openssl verify -CApath /etc/ssl/certs /tmp/ca.pem"
    assert host.run(verify).rc != 0
    done = converge(name, extra_ca={"office": ca})
    assert done.returncode == 0, done.stdout[-2000:]
    assert host.run(verify).rc == 0
    assert host.run(f"grep -qF '{ca.splitlines()[3]}' /etc/ssl/certs/ca-certificates.crt").rc == 0
    assert changed_tasks(converge(name, extra_ca={"office": ca})) == []
    assert converge(name).returncode == 0
    assert host.run(verify).rc != 0


def test_what_is_no_certificate_is_refused(host: Host, name: str) -> None:
    done = converge(name, extra_ca={"office": "not a certificate"})
    assert done.returncode != 0
    assert not host.file("/usr/local/share/ca-certificates/lookout/office.crt").exists


def test_an_installation_that_was_cut_short_is_finished(host: Host, name: str) -> None:
    """Unpacked and not configured, as a kill in the middle of apt leaves it."""
    host.check_output("cd /tmp && apt-get download -q hello && dpkg --unpack hello_*.deb")
    assert "hello" in host.check_output("dpkg --audit")
    done = converge(name)
    assert done.returncode == 0, done.stdout[-2000:]
    assert host.check_output("dpkg --audit") == ""
    host.check_output("apt-get purge -y -q hello")


def test_a_folder_that_is_not_ours_alone_is_refused(name: str) -> None:
    done = converge(name, register_log_dir="/var/log")
    assert done.returncode != 0
    assert "must be a folder of its own" in " ".join(done.stdout.split())
