#!/usr/bin/python3
"""Put public certificates into use, and tell the node exporter how their renewal goes.

lookout                   deploy every certificate that is used or managed here
lookout --metrics FILE    the same, and write the metrics; with SERVICE_RESULT in the environment,
                          as systemd sets it for ExecStopPost=, they count as those of a try
lookout --verify NAME     whether NAME is served with a valid certificate of certbot's
lookout --retire NAME     have NAME served with the site CA's certificate again
lookout --check FOLDER    whether the certificates below a copy of /etc/letsencrypt are usable

certbot calls it after a renewal without arguments and with RENEWED_LINEAGE, and looks at nothing
that it returns. All is decided from what lies on disk, so that a call which died is made good by
the next one.
"""

from __future__ import annotations

import argparse
import calendar
import fcntl
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LIVE = Path("/etc/letsencrypt/live")
# What the gateway serves: one link a name, to LIVE/<name> or to HOST.
SERVED = Path("/etc/lookout/tls/served")
# The certificate of the site CA
HOST = Path("/etc/lookout/tls/host")
# Who uses a certificate: <name>/<unit>
USERS = Path("/etc/lookout/certificates.d")
STATE = Path("/var/lib/lookout/certbot")
# The certificates that the inventory asks for: one empty file each
WANTED = STATE / "certificates"
# <name>/<unit>: digest of the certificate that the unit reloaded last
RELOADED = STATE / "reloaded"

OPENSSL_TIMEOUT_SECONDS = 20
RELOAD_TIMEOUT_SECONDS = 120
PREFIX = "lookout_certbot_"
METRICS = {
    "last_attempt_timestamp_seconds": "When certbot last tried to renew or to issue.",
    "last_success_timestamp_seconds": "When that last succeeded, and what it got was in use.",
    "renewal_failed": "1 where the last try failed.",
    "certificate_not_after_timestamp_seconds": "End of a certificate.",
    "certificate_missing": "1 where the inventory asks for a certificate that was not issued.",
}


class DeployError(Exception):
    """A certificate is not in use as it should be; the message says why."""


def names_in(folder: Path) -> set[str]:
    """Names of what lies in a folder; none where there is no folder."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def not_after(certificate: Path) -> float:
    """When a certificate ends, in seconds since the epoch; DeployError where it is none."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(certificate)],
        capture_output=True, text=True, check=False, timeout=OPENSSL_TIMEOUT_SECONDS,
    )  # fmt: skip
    found = re.match(r"notAfter=(.+) GMT", done.stdout)
    if not found:
        raise DeployError(f"{certificate} is no certificate: {done.stderr.strip()}")
    return calendar.timegm(time.strptime(found[1], "%b %d %H:%M:%S %Y"))


def require_key_fits(lineage: Path) -> None:
    """Raise DeployError unless the chain is readable and the key belongs to it."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            lineage / "fullchain.pem", lineage / "privkey.pem"
        )
    except (OSError, ssl.SSLError) as error:
        raise DeployError(f"{lineage}: certificate and key do not fit: {error}") from None


def point(link: Path, to: Path) -> bool:
    """Make `link` point at `to` in one rename, so that no reader ever misses it."""
    if link.is_symlink() and os.readlink(link) == str(to):
        return False
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(to)
    os.replace(fresh, link)
    print(f"{link.name}: {to} is served", flush=True)
    return True


def reload(unit: str) -> None:
    """Have a unit read its certificates; DeployError with systemd's words.

    One that does not run reads them when it starts.
    """
    if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode != 0:
        return
    command = ["systemctl", "try-reload-or-restart", unit]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=RELOAD_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"{unit} did not reload in {RELOAD_TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        raise DeployError(f"{unit} did not reload: {done.stderr.strip()}")
    print(f"{unit}: reloaded", flush=True)


def reload_users(name: str) -> None:
    """Reload the units that use a name and have not read its present certificate."""
    digest = hashlib.sha256((SERVED / name / "fullchain.pem").read_bytes()).hexdigest()
    problems = []
    for unit in sorted(names_in(USERS / name)):
        stamp = RELOADED / name / unit
        if stamp.exists() and stamp.read_text(encoding="ascii") == digest:
            continue
        try:
            reload(unit)
        except DeployError as error:
            problems.append(str(error))
            continue
        stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp.write_text(digest, encoding="ascii")
    if problems:
        raise DeployError("; ".join(problems))


def retire(name: str) -> None:
    """Serve a name with the site CA's certificate again, and have its users read that."""
    link, stamps = SERVED / name, RELOADED / name
    if link.is_symlink() and Path(os.readlink(link)).parent == LIVE:
        point(link, HOST)
    if stamps.is_dir():
        if (link / "fullchain.pem").exists():
            reload_users(name)
        shutil.rmtree(stamps)


def deploy(name: str) -> None:
    """Serve what certbot got for a name; DeployError where it is of no use."""
    lineage, link = LIVE / name, SERVED / name
    if not (lineage / "fullchain.pem").exists():
        retire(name)
        return
    require_key_fits(lineage)
    if not (link.is_symlink() and os.readlink(link) == str(lineage)):
        if not_after(lineage / "fullchain.pem") <= time.time():
            raise DeployError(f"{lineage}: the certificate has expired and is not put into use")
        SERVED.mkdir(mode=0o755, parents=True, exist_ok=True)
        point(link, lineage)
    reload_users(name)


def in_use() -> set[str]:
    """The names that somebody here uses, serves or asks for: other lineages are not ours."""
    served = {name for name in names_in(SERVED) if not name.startswith(".")}
    return served | names_in(USERS) | names_in(WANTED)


def each(names: Iterable[str], act: Callable[[str], None]) -> list[str]:
    """Do something with every name; what went wrong is said, and returned."""
    problems = []
    for name in sorted(names):
        try:
            act(name)
        except (DeployError, OSError, subprocess.TimeoutExpired) as error:
            problems.append(f"{name}: {error}")
            print(problems[-1], file=sys.stderr, flush=True)
    return problems


# --- metrics ---


def read_samples(text: str) -> dict[str, float]:
    """The samples without labels of a text file that this program wrote."""
    found = re.findall(rf"^{PREFIX}(\w+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def result_of_try(
    former: dict[str, float], result: str | None, broken: bool, now: float
) -> dict[str, float]:
    """What to say of the last try, from what was said before and how this one ended."""
    said = {name: former[name] for name in METRICS if name in former}
    if result is not None:
        said["last_attempt_timestamp_seconds"] = now
        said["renewal_failed"] = float(broken or result != "success")
        if not said["renewal_failed"]:
            said["last_success_timestamp_seconds"] = now
    elif broken:
        said["renewal_failed"] = 1.0
    return said


def rendered(samples: dict[str, dict[str, float]]) -> str:
    """Prometheus' text format. The inner mapping is by certificate, "" where there is none."""
    lines = []
    for name, about in METRICS.items():
        lines += [f"# HELP {PREFIX}{name} {about}", f"# TYPE {PREFIX}{name} gauge"]
        for certificate, value in sorted(samples.get(name, {}).items()):
            label = f'{{certificate="{certificate}"}}' if certificate else ""
            lines.append(f"{PREFIX}{name}{label} {value:.0f}")
    return "\n".join(lines) + "\n"


def write_metrics(file: Path, broken: bool) -> None:
    """Tell the node exporter; to a temporary name first, so that it never reads half a file."""
    former = read_samples(file.read_text(encoding="utf-8")) if file.exists() else {}
    said = result_of_try(former, os.environ.get("SERVICE_RESULT"), broken, time.time())
    samples = {name: {"": value} for name, value in said.items()}
    lineages = {name for name in names_in(LIVE) if (LIVE / name / "fullchain.pem").exists()}
    ends = {}
    for name in sorted(lineages):
        try:
            ends[name] = not_after(LIVE / name / "fullchain.pem")
        except DeployError as error:
            print(error, file=sys.stderr)
    samples["certificate_not_after_timestamp_seconds"] = ends
    samples["certificate_missing"] = {n: float(n not in ends) for n in names_in(WANTED)}
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(rendered(samples), encoding="utf-8")
    fresh.chmod(0o644)
    os.replace(fresh, file)


# --- what it is called for ---


def check_copy(folder: Path) -> int:
    """Whether every certificate below a copy of /etc/letsencrypt has its key; for restore drills.

    A lineage in live/ is made of relative links, so that they lead into the copy.
    """
    lineages = sorted(path.parent for path in (folder / "live").glob("*/fullchain.pem"))
    problems = []
    for lineage in lineages:
        try:
            require_key_fits(lineage)
        except DeployError as error:
            problems.append(str(error))
    print(f"{len(lineages)} certificates, {len(problems)} of them unusable")
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


def verify(name: str) -> int:
    """Say what a name is served with; 1 where that is not a valid certificate of certbot's."""
    try:
        lineage = Path(os.readlink(SERVED / name))
        require_key_fits(lineage)
        left = not_after(lineage / "fullchain.pem") - time.time()
    except (DeployError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{lineage}: {left / 86400:.1f} days left")
    return 0 if lineage.parent == LIVE and left > 0 else 1


def main() -> int:
    """Do what the command line asks for; 0 where all is as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--metrics", type=Path, metavar="FILE")
    parser.add_argument("--verify", metavar="NAME")
    parser.add_argument("--retire", metavar="NAME")
    parser.add_argument("--check", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    if asked.check:
        return check_copy(asked.check)
    if asked.verify:
        return verify(asked.verify)
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(STATE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the timer and a run of the role at once
        if asked.retire:
            return 1 if each([asked.retire], retire) else 0
        renewed = os.environ.get("RENEWED_LINEAGE")
        names = in_use()
        problems = each(names & {Path(renewed).name} if renewed else names, deploy)
        if asked.metrics:
            write_metrics(asked.metrics, bool(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
