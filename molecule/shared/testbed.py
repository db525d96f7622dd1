#!/usr/bin/env python3
"""Throwaway Debian hosts: systemd as PID 1 in podman containers, on a network with names.

Only the standard library is used, so that it runs before anything is installed.
Everything that belongs to one run carries one id: its network is `<id>`, its hosts are
`<id>-<name>`, and `down <id>` takes exactly those away.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import package_lists

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("LOOKOUT_CACHE", ROOT / ".cache"))
STATE = Path("/run/lookout-testbed")
# podman's view of this boot: a tmpfs of the holder's namespace, so that it ends with it
BOOT = STATE / "boot"
# Images and containers are kept apart from those of the machine
STORAGE = Path("/var/lib/lookout-testbed")
SUITES = ("trixie", "bookworm")
LABEL = "lookout.testbed"

# command -> Debian package that brings it
PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
    "nft": "nftables",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
}

# What a Debian cloud image has and a role may rely on; everything else a role installs itself.
IMAGE_PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,python3,python3-apt,sudo,ca-certificates,iproute2,procps"
)
# What a scenario's hosts have already where it is not about that: base's and tls's packages, and
# what those of many roles depend on. To install them took 5 % of a test run's processor time.
WARM_PACKAGES = (
    "curl logrotate unattended-upgrades systemd-timesyncd"
    " openssl python3-cryptography python3-cffi-backend"
    " perl moreutils libtime-duration-perl libtimedate-perl"
    " locales libjson-perl libedit2 libxslt1.1 libz3-4"
)
# Of PostgreSQL; each release has its own.
WARM_PACKAGES_OF = {"trixie": "libllvm19", "bookworm": "libllvm14"}
# Without fsync dpkg unpacks three times as fast; a throwaway host has nothing to lose.
IMAGE_SETUP = 'echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/testbed"'
# As on a real host, where mounts propagate: systemd 252 would mount a unit's credentials where
# the unit does not see them.
INIT = "mount --make-rshared / && exec /lib/systemd/systemd"
# Root on some machines has no CAP_SYS_RESOURCE, so that podman's own, higher limits are refused.
LIMITS = ("--pids-limit=0", "--ulimit=nofile=20000:20000", "--ulimit=nproc=10000:10000")
APT_LISTS_MAX_AGE_SECONDS = 6 * 3600
# Of a host, and those that a Prometheus takes more: one for each job, 13 to 16 in the scenarios.
# One that is missing is a job without targets for five minutes.
INOTIFY_INSTANCES, INOTIFY_INSTANCES_OF_PROMETHEUS = 7, 18
INOTIFY_LABEL = "lookout.inotify"
ROOM_TIMEOUT_SECONDS = 45 * 60


class TestbedError(Exception):
    """Something on this machine keeps the test bed from working; the message says what to do."""

    __test__ = False


def say(text: str) -> None:
    print(f"testbed: {text}", file=sys.stderr, flush=True)


def run(argv: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, return its output; a failure is a TestbedError that quotes it."""
    done = subprocess.run(argv, text=True, capture_output=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise TestbedError(
            f"`{shlex.join(argv)}` ended with {done.returncode}:\n"
            + (done.stderr or done.stdout).strip()
        )
    return done  # type: ignore[no-any-return]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process of this machine at a time, for work that two runs share."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(STATE / f"{name}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# --- where podman works -------------------------------------------------------------------


def needs_private_cgroup() -> bool:
    """A machine with cgroup v1 or hybrid mounts: systemd in a container needs v2 of its own."""
    kind = run(["stat", "-fc", "%T", "/sys/fs/cgroup"]).stdout.strip()
    return kind != "cgroup2fs"


def holder_pid() -> int | None:
    """The process that keeps the private mount namespace alive, if it still does."""
    try:
        pid = int((STATE / "holder.pid").read_text(encoding="ascii"))
        if b"lookout-testbed-holder" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    except (OSError, ValueError):
        pass
    return None


def start_holder() -> int:
    """Start a process in a private mount namespace whose /sys/fs/cgroup is cgroup v2.

    All podman calls about one container have to share a namespace; it is there as long as the
    holder lives, and the machine's own mounts stay as they are.
    """
    with locked("holder"):
        pid = holder_pid()
        if pid:
            return pid
        (STATE / "containers.conf").write_text(
            f'[engine]\nruntime = "runc"\ntmp_dir = "{BOOT}/libpod"\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{BOOT}/networks"\n',
            encoding="ascii",
        )
        (STATE / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{BOOT}/storage"\ngraphroot = "{STORAGE}"\n',
            encoding="ascii",
        )
        script = (
            "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && "
            f"mkdir -p {BOOT} && mount -t tmpfs -o mode=700 tmpfs {BOOT} && "
            f"echo $$ > {STATE}/holder.new && mv {STATE}/holder.new {STATE}/holder.pid && "
            "exec sh -c 'while :; do sleep 3600 & wait; done' lookout-testbed-holder"
        )
        (STATE / "holder.pid").unlink(missing_ok=True)
        subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(STATE / "holder.log", "w", encoding="utf-8"),  # noqa: SIM115
            start_new_session=True,
        )
        for _ in range(100):
            pid = holder_pid()
            if pid:
                # Whatever ran under an earlier holder ended with it: only its files are left.
                run([*entering(pid), "podman", "rm", "--all", "--force", "--volumes"])
                return pid
            time.sleep(0.05)
        raise TestbedError(
            "no private cgroup v2 mount: "
            + (STATE / "holder.log").read_text(encoding="utf-8").strip()
            + "\nThe test bed needs root with CAP_SYS_ADMIN, or a machine with plain cgroup v2."
        )


def stop_holder_if_idle() -> None:
    """End the namespace when the last container is gone."""
    if os.environ.get("LOOKOUT_TESTBED_INSIDE"):
        return  # whoever entered the namespace is still in it
    in_use = podman("ps", "-aq", "--filter", f"label={LABEL}").stdout.strip()
    with locked("holder"), open(STATE / "entered.lock", "w", encoding="utf-8") as entered:
        try:
            fcntl.flock(entered, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another command has entered it
        pid = holder_pid()
        if pid and not in_use:
            os.killpg(pid, 15)
            (STATE / "holder.pid").unlink(missing_ok=True)


def inside() -> list[str]:
    """The prefix that puts a command where podman works; empty where it works anyway."""
    if os.environ.get("LOOKOUT_TESTBED_INSIDE") or not needs_private_cgroup():
        return []
    return entering(start_holder())


def entering(pid: int) -> list[str]:
    return [
        "nsenter",
        f"--mount=/proc/{pid}/ns/mnt",
        "env",
        f"--chdir={os.getcwd()}",
        f"CONTAINERS_CONF={STATE}/containers.conf",
        f"CONTAINERS_STORAGE_CONF={STATE}/storage.conf",
        "LOOKOUT_TESTBED_INSIDE=1",
    ]


def podman(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return run([*inside(), "podman", *arguments], **options)


def become_root() -> None:
    """Run the same command again under sudo where we are not root."""
    if os.geteuid() == 0:
        return
    if not shutil.which("sudo"):
        raise TestbedError("containers with systemd need root: run it as root or install sudo")
    keep = [f"{k}={v}" for k, v in os.environ.items() if k in ("PATH", "CI", "PYTHONPATH")]
    keep += [f"{k}={v}" for k, v in os.environ.items() if k.startswith(("LOOKOUT_", "GRAFANA_"))]
    os.execvp("sudo", ["sudo", "-E", "env", *keep, sys.executable, *sys.argv])  # noqa: S606


# --- what the test bed is made of ------------------------------------------------------------


def ensure_packages() -> None:
    """Install what is missing from Debian's archive, or say which package it is."""
    missing = [package for command, package in PACKAGES.items() if not shutil.which(command)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise TestbedError(f"install {' '.join(missing)} (here is no apt-get to do it)")
    say(f"installing {' '.join(missing)}")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(["apt-get", "update", "-q"], env=environment)
        run(install, env=environment)
    except TestbedError as error:
        raise TestbedError(f"could not install {' '.join(missing)}: {error}") from None


def named(kind: str, suite: str, recipe: str) -> str:
    """An image's name holds the hash of its recipe: a changed recipe is a new image."""
    return f"localhost/lookout-{kind}:{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def image_name(suite: str) -> str:
    return named("testbed", suite, f"{suite} {IMAGE_PACKAGES} {IMAGE_SETUP}")


def ensure_image(suite: str) -> None:
    """Build the image of a Debian release from Debian's archive, once for each recipe."""
    name = image_name(suite)
    with locked(f"image-{suite}"):
        images = podman("images", "-q", name).stdout.strip()
        if images:
            return
        say(f"building the {suite} image (half a minute)")
        tar = CACHE / f"image-{suite}.tar"
        tar.parent.mkdir(parents=True, exist_ok=True)
        mirror = [os.environ["LOOKOUT_MIRROR"]] if os.environ.get("LOOKOUT_MIRROR") else []
        run(
            [
                "mmdebstrap", "--variant=minbase", f"--include={IMAGE_PACKAGES}",
                f"--customize-hook={IMAGE_SETUP}", suite, str(tar), *mirror,
            ]
        )  # fmt: skip
        podman(
            "import", "-c", 'CMD ["/lib/systemd/systemd"]', "-c", "STOPSIGNAL SIGRTMIN+3",
            str(tar), name,
        )  # fmt: skip
        tar.unlink()


def warm_name(suite: str) -> str:
    recipe = f"{image_name(suite)} {WARM_PACKAGES} {WARM_PACKAGES_OF[suite]}"
    return named("warm", suite, recipe)


def ensure_warm_image(suite: str) -> None:
    """Add a layer to the bare image, once for each recipe."""
    name = warm_name(suite)
    with locked(f"image-{suite}"):
        if podman("images", "-q", name).stdout.strip():
            return
        say(f"building the warm image of {suite} (a quarter of a minute)")
        container = name.replace("localhost/", "").replace(":", "-")
        packages = [*WARM_PACKAGES.split(), *WARM_PACKAGES_OF[suite].split()]
        podman("rm", "--force", "--ignore", container)
        podman(
            "run", "--name", container, "--label", f"{LABEL}=apt", *LIMITS,
            "--env", "DEBIAN_FRONTEND=noninteractive",
            "--volume", f"{apt_folder(suite)}/archives:/var/cache/apt/archives",
            "--volume", f"{apt_folder(suite)}/lists:/var/lib/apt/lists", image_name(suite),
            "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages,
        )  # fmt: skip
        podman("commit", "--quiet", container, name)
        podman("rm", container)


def apt_folder(suite: str) -> Path:
    return CACHE / "apt" / suite


def lists_folder(suite: str) -> Path:
    """What hosts of this checkout get as /var/lib/apt/lists (package_lists.py)."""
    return apt_folder(suite) / f"lists-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"


def ensure_apt_lists(suite: str) -> None:
    """Refresh the package lists that all hosts of a release share, when they are hours old."""
    folder, short = apt_folder(suite), lists_folder(suite)
    stamp, short_stamp = folder / "refreshed", folder / f"{short.name}.made"
    with locked(f"apt-{suite}"):
        for name in ("archives/partial", "lists/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > APT_LISTS_MAX_AGE_SECONDS:
            say(f"refreshing the package lists of {suite}")
            podman(
                "run", "--rm", "--label", f"{LABEL}=apt", *LIMITS,
                "--volume", f"{folder}/lists:/var/lib/apt/lists", image_name(suite),
                "sh", "-c", "apt-get update -q && touch /var/lib/apt/lists",
            )  # fmt: skip
            stamp.touch()
        made = short_stamp.stat().st_mtime if short_stamp.exists() else 0
        if made < stamp.stat().st_mtime or package_lists.changed_since(ROOT, made):
            now = time.time()
            package_lists.shorten(folder / "lists", short, package_lists.words(ROOT))
            short_stamp.touch()
            os.utime(short_stamp, (now, now))


def prepare(suites: Sequence[str]) -> None:
    ensure_packages()
    with ThreadPoolExecutor() as pool:
        list(pool.map(prepare_suite, suites))


def prepare_suite(suite: str) -> None:
    ensure_image(suite)
    ensure_apt_lists(suite)
    ensure_warm_image(suite)


# --- hosts -----------------------------------------------------------------------------------


def up(run_id: str, hosts: Sequence[dict[str, object]]) -> None:
    """Start hosts and wait until systemd in each of them says `running`.

    A host is `{"name": …, "suite": "trixie", "options": [more arguments of podman run]}`, and with
    `"warm": true` one that has WARM_PACKAGES already. `"prometheus": true`: it will run one.
    """
    prepare(sorted({str(host.get("suite", SUITES[0])) for host in hosts}))
    start_when_there_is_room(run_id, hosts)
    for host in hosts:
        wait_until_running(f"{run_id}-{host['name']}")
    introduce(run_id)


def inotify_elsewhere(processes: Iterable[Path] | None = None) -> int:
    """How many inotify instances of root are in no host: what hosts will take is on their labels.

    Those count that are root's on this machine, or in a user namespace that it made.
    """
    our_pids, our_users = os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/user")
    found = 0
    for process in Path("/proc").glob("[0-9]*") if processes is None else processes:
        with contextlib.suppress(OSError):  # it ended meanwhile
            counts = process.stat().st_uid == 0 or os.readlink(process / "ns/user") != our_users
            if counts and os.readlink(process / "ns/pid") == our_pids:
                found += sum(map(is_inotify, (process / "fd").iterdir()))
    return found


def inotify_needed(host: dict[str, object]) -> int:
    return INOTIFY_INSTANCES + (INOTIFY_INSTANCES_OF_PROMETHEUS if host.get("prometheus") else 0)


def inotify_reserved() -> int:
    """What all hosts of the test bed will take at their most."""
    label = f'{{{{index .Labels "{INOTIFY_LABEL}"}}}}'
    shown = podman("ps", "--filter", f"label={INOTIFY_LABEL}", "--format", label)
    return sum(map(int, shown.stdout.split()))


def is_inotify(file: Path) -> bool:
    with contextlib.suppress(OSError):  # it was closed meanwhile
        return os.readlink(file) == "anon_inode:inotify"
    return False


def start_when_there_is_room(run_id: str, hosts: Sequence[dict[str, object]]) -> None:
    """Start hosts; while those of other runs leave too few inotify instances, wait.

    systemd takes six, a Prometheus one for each job, of 128 that a user may have by default. A host
    that finds none is degraded, a Prometheus without them finds no targets, and neither says why.
    What the others will take counts: a Prometheus comes minutes after its host.
    """
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="ascii"))
    deadline = time.monotonic() + ROOM_TIMEOUT_SECONDS
    while True:
        with locked("network"):  # two runs at once lose names in podman's name server
            taken = inotify_elsewhere() + inotify_reserved()
            if taken + sum(map(inotify_needed, hosts)) <= limit:
                start(run_id, hosts)
                return
        if time.monotonic() > deadline:
            raise TestbedError(
                f"{taken} of {limit} inotify instances are taken, too many for {len(hosts)} more "
                "hosts. End the other runs, or raise fs.inotify.max_user_instances"
            )
        time.sleep(2)


def start(run_id: str, hosts: Sequence[dict[str, object]]) -> None:
    if run_id not in podman("network", "ls", "--format", "{{.Name}}").stdout.split():
        podman("network", "create", "--label", f"{LABEL}={run_id}", run_id)
    for host in hosts:
        name, suite = str(host["name"]), str(host.get("suite", SUITES[0]))
        cache = apt_folder(suite)
        options = [str(option) for option in host.get("options", [])]  # type: ignore[attr-defined]
        image = warm_name(suite) if host.get("warm") else image_name(suite)
        podman(
            "run", "--detach", "--name", f"{run_id}-{name}", "--hostname", name,
            "--label", f"{LABEL}={run_id}", "--label", f"{INOTIFY_LABEL}={inotify_needed(host)}",
            "--network", run_id, "--network-alias", name,
            # SYS_ADMIN so that systemd's sandboxing takes effect
            "--systemd=always", "--cap-add", "SYS_ADMIN", *LIMITS,
            # One apt cache for all: what a host downloads lands in a layer of its own.
            "--volume", f"{cache}/archives:/var/cache/apt/archives:O",
            "--volume", f"{lists_folder(suite)}:/var/lib/apt/lists:O",
            "--volume", f"{cache}/archives:/run/testbed-archives",
            *options, image, "sh", "-c", INIT,
        )  # fmt: skip


def introduce(run_id: str) -> None:
    """Write every host of the run into /etc/hosts of the others.

    podman's own name server does not always learn of a host that joins a running network.
    """
    running = podman("ps", "--filter", f"label={LABEL}={run_id}", "--format", "{{.Names}}")
    containers = running.stdout.split()
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    addresses = podman("inspect", "--format", address, *containers).stdout.split()
    write = (
        'sed "/# testbed$/d" /etc/hosts > /run/hosts.new && cat >> /run/hosts.new && '
        "cat /run/hosts.new > /etc/hosts && rm /run/hosts.new"
    )
    for container in containers:
        others = "".join(
            f"{ip} {other.removeprefix(f'{run_id}-')} # testbed\n"
            for other, ip in zip(containers, addresses, strict=True)
            if other != container
        )
        podman("exec", "--interactive", container, "sh", "-c", write, input=others)


def wait_until_running(container: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    state = "not started"
    while time.monotonic() < deadline:
        # It fails while systemd does not listen yet; from then on it answers when the host is up.
        ask = ["timeout", f"{seconds:.0f}", "systemctl", "is-system-running", "--wait"]
        asked = subprocess.run(
            [*inside(), "podman", "exec", container, *ask],
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        state = asked.stdout.strip() or asked.stderr.strip()
        if state == "running":
            return
        if state == "degraded":
            failed = podman("exec", container, "systemctl", "--failed", "--plain", "--no-legend")
            raise TestbedError(f"{container} is degraded: {failed.stdout.strip()}")
        time.sleep(0.2)
    raise TestbedError(f"{container} did not reach `running` in {seconds:.0f} s: {state}")


def down(run_id: str) -> None:
    """Remove a run's hosts and network; what they downloaded stays in the shared cache."""
    label = f"label={LABEL}={run_id}"
    containers = podman("ps", "-aq", "--filter", label).stdout.split()
    keep = (
        "cd /var/cache/apt/archives && for deb in *.deb; do "
        '[ -e "$deb" ] && [ ! -e "/run/testbed-archives/$deb" ] || continue; '
        'cp "$deb" "/run/testbed-archives/.$deb.$$" && '
        'mv "/run/testbed-archives/.$deb.$$" "/run/testbed-archives/$deb"; done; '
        "cat /sys/fs/cgroup/cpu.stat"
    )
    for container in podman("ps", "-q", "--filter", label).stdout.split():
        with contextlib.suppress(TestbedError):  # a host that is broken has nothing to keep
            note_cpu(podman("exec", container, "sh", "-c", keep).stdout)
    with locked("network"):
        if containers:
            podman("rm", "--force", "--time", "0", "--volumes", *containers)
        for network in podman("network", "ls", "-q", "--filter", label).stdout.split():
            podman("network", "rm", "--force", network)
    stop_holder_if_idle()


def note_cpu(statistics: str) -> None:
    """Write down how many seconds of a processor a host took, where the runner wants to know."""
    file = os.environ.get("LOOKOUT_CPU_FILE")
    _, _, found = statistics.partition("usage_usec ")
    if file and found:
        with open(file, "a", encoding="ascii") as written:
            written.write(f"{int(found.split()[0]) / 1e6:.1f}\n")


def enter_and_run(command: Sequence[str]) -> int:
    """Run a command where podman works; Ctrl-C is its to handle, the clean-up is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(STATE / "entered.lock", "w", encoding="utf-8") as entered:
        fcntl.flock(entered, fcntl.LOCK_SH)
        # env puts the signal back, which the child would otherwise inherit as ignored
        child = subprocess.Popen(["env", "--default-signal=INT", *inside(), *command])
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        status = child.wait()
    stop_holder_if_idle()
    if os.environ.get("SUDO_UID"):  # what root wrote below .cache stays the user's to remove
        owner = f"{os.environ['SUDO_UID']}:{os.environ['SUDO_GID']}"
        subprocess.run(["chown", "--recursive", owner, str(CACHE)], check=False)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("prepare", help="install packages, build images, refresh package lists")
    enter = verbs.add_parser("enter", help="run a command as root where podman works")
    enter.add_argument("command", nargs=argparse.REMAINDER)
    start = verbs.add_parser("up", help="start hosts (a JSON list on standard input)")
    start.add_argument("id")
    stop = verbs.add_parser("down", help="remove the hosts and the network of a run")
    stop.add_argument("id", nargs="+")
    arguments = parser.parse_args()
    try:
        become_root()
        if arguments.verb == "prepare":
            prepare(SUITES)
        elif arguments.verb == "enter":
            ensure_packages()
            return enter_and_run(arguments.command)
        elif arguments.verb == "up":
            up(arguments.id, json.load(sys.stdin))
        else:
            for run_id in arguments.id:
                down(run_id)
    except TestbedError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
