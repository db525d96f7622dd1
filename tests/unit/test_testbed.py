"""The test bed's own decisions; nothing here starts a container."""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    # Not imported by name: `molecule` is that of the Python package.
    spec = importlib.util.spec_from_file_location("testbed", ROOT / "molecule/shared/testbed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


testbed = _load()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(testbed, "STATE", tmp_path)
    return tmp_path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH that holds nothing but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(testbed, "PACKAGES", {"here": "here", "pod": "podman", "nft": "nftables"})
    script(folder / "here", "")
    return folder


def script(file: Path, body: str) -> None:
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


# --- images ---


def test_image_name_is_that_of_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {testbed.image_name("trixie")}
    assert names == {testbed.image_name("trixie")}
    names.add(testbed.image_name("bookworm"))
    for constant in ("IMAGE_PACKAGES", "IMAGE_SETUP"):
        with monkeypatch.context() as changed:
            changed.setattr(testbed, constant, getattr(testbed, constant) + " more")
            names.add(testbed.image_name("trixie"))
    assert len(names) == 4
    assert all(name.startswith("localhost/lookout-testbed:") for name in names)


def test_warm_image_is_another_one_by_its_packages_and_by_the_bare_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {testbed.warm_name(suite) for suite in testbed.SUITES}
    for constant in ("IMAGE_PACKAGES", "WARM_PACKAGES"):
        with monkeypatch.context() as changed:
            changed.setattr(testbed, constant, getattr(testbed, constant) + " more")
            names.add(testbed.warm_name("trixie"))
    assert len(names) == 4
    assert not names & {testbed.image_name(suite) for suite in testbed.SUITES}


def test_no_role_but_those_of_all_hosts_finds_its_packages_installed() -> None:
    warm = {*testbed.WARM_PACKAGES.split(), *testbed.WARM_PACKAGES_OF.values()}
    found: set[str] = set()
    for path in ROOT.glob("roles/*/vars/main.yml"):
        role = path.parents[1].name
        if role not in ("base", "tls"):
            for block in re.findall(r"^__\w+_packages:(.*\n(?: .*\n)*)", path.read_text(), re.M):
                found |= set(re.findall(r"[a-z0-9.+-]{3,}", block))
    assert {"nginx", "prometheus-node-exporter"} <= found
    assert not warm & found


# --- what the machine has to have ---


def test_nothing_is_installed_where_nothing_is_missing(tools: Path) -> None:
    for name in ("pod", "nft"):
        script(tools / name, "")
    script(tools / "apt-get", f"echo called > {tools}/called")
    testbed.ensure_packages()
    assert not (tools / "called").exists()


def test_missing_packages_are_installed(tools: Path) -> None:
    script(tools / "nft", "")
    script(tools / "apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {tools}/calls')
    testbed.ensure_packages()
    assert (tools / "calls").read_text().splitlines() == [
        "noninteractive update -q",
        "noninteractive install -y -q --no-install-recommends podman",
    ]


@pytest.mark.usefixtures("tools")
def test_missing_packages_are_named_where_there_is_no_apt() -> None:
    with pytest.raises(testbed.TestbedError, match=r"install podman nftables .*no apt-get"):
        testbed.ensure_packages()


def test_missing_packages_are_named_where_apt_fails(tools: Path) -> None:
    script(tools / "apt-get", "echo 'Temporary failure resolving' >&2; exit 100")
    with pytest.raises(testbed.TestbedError) as error:
        testbed.ensure_packages()
    assert "could not install podman nftables" in str(error.value)
    assert "Temporary failure resolving" in str(error.value)


def test_root_is_asked_for_where_there_is_no_sudo(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shutil.which("here") == str(tools / "here")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(testbed.TestbedError, match="run it as root or install sudo"):
        testbed.become_root()


def test_failed_command_is_quoted_with_what_it_said() -> None:
    with pytest.raises(testbed.TestbedError) as error:
        testbed.run(["sh", "-c", "echo no space; echo disk full >&2; exit 3"])
    assert "ended with 3" in str(error.value)
    assert "disk full" in str(error.value)


# --- the private namespace ---


@pytest.mark.parametrize("text", [None, "", "not a number\n", "0\n", "-1\n", "99999999\n"])
def test_no_holder(state: Path, text: str | None) -> None:
    if text is not None:
        (state / "holder.pid").write_text(text)
    assert testbed.holder_pid() is None


def test_process_that_took_the_number_is_no_holder(state: Path) -> None:
    (state / "holder.pid").write_text(f"{os.getpid()}\n")
    assert testbed.holder_pid() is None


def test_holder_is_found_while_it_lives(state: Path) -> None:
    argv = ["sh", "-c", "echo ready; read line", "lookout-testbed-holder"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        (state / "holder.pid").write_text(f"{holder.pid}\n")
        assert testbed.holder_pid() == holder.pid
    assert testbed.holder_pid() is None


def test_inside_needs_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKOUT_TESTBED_INSIDE", "1")
    assert testbed.inside() == []
    monkeypatch.delenv("LOOKOUT_TESTBED_INSIDE")
    monkeypatch.setattr(testbed, "needs_private_cgroup", lambda: False)
    assert testbed.inside() == []


def test_outside_enters_the_holders_namespace(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOKOUT_TESTBED_INSIDE", raising=False)
    monkeypatch.setattr(testbed, "needs_private_cgroup", lambda: True)
    monkeypatch.setattr(testbed, "start_holder", lambda: 4711)
    prefix = testbed.inside()
    assert prefix[:2] == ["nsenter", "--mount=/proc/4711/ns/mnt"]
    assert f"CONTAINERS_CONF={state}/containers.conf" in prefix
    assert "LOOKOUT_TESTBED_INSIDE=1" in prefix


def test_work_that_two_runs_share_is_done_by_one_at_a_time(state: Path) -> None:
    def is_locked() -> bool:
        with open(state / "image.lock", "w", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    with testbed.locked("image"):
        assert is_locked()
    assert not is_locked()


# --- the command line ---


def test_error_is_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise testbed.TestbedError("no podman here")

    monkeypatch.setattr(testbed, "become_root", lambda: None)
    monkeypatch.setattr(testbed, "prepare", fail)
    monkeypatch.setattr(sys, "argv", ["testbed.py", "prepare"])
    assert testbed.main() == 1
    assert capsys.readouterr().err == "testbed: no podman here\n"


def test_down_takes_every_run_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(testbed, "become_root", lambda: None)
    monkeypatch.setattr(testbed, "down", taken.append)
    monkeypatch.setattr(sys, "argv", ["testbed.py", "down", "a", "b"])
    assert testbed.main() == 0
    assert taken == ["a", "b"]


def test_inotify_instances_of_root_are_counted() -> None:
    itself = Path("/proc/self")
    before = testbed.inotify_elsewhere([itself])
    made = ctypes.CDLL(None, use_errno=True).inotify_init()
    assert made >= 0, "no inotify instance is left on this machine"
    after = testbed.inotify_elsewhere([itself])
    os.close(made)
    assert after - before == (1 if os.geteuid() == 0 else 0)
    assert testbed.inotify_elsewhere([Path("/proc/0")]) == 0


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("taken", "reserved", "starts"),
    [(89, 0, True), (90, 0, False), (20, 69, True), (20, 70, False)],
)
def test_hosts_wait_for_what_they_need(
    monkeypatch: pytest.MonkeyPatch, taken: int, reserved: int, starts: bool
) -> None:
    started: list[str] = []
    hosts: list[dict[str, object]] = [{}, {}, {"prometheus": True}]
    monkeypatch.setattr(testbed, "inotify_elsewhere", lambda: taken)
    monkeypatch.setattr(testbed, "inotify_reserved", lambda: reserved)
    monkeypatch.setattr(testbed, "start", lambda run_id, _: started.append(run_id))
    monkeypatch.setattr(testbed, "ROOM_TIMEOUT_SECONDS", -1)
    read = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, **way: "128" if "inotify" in str(self) else read(self, **way),
    )
    if starts:
        testbed.start_when_there_is_room("run", hosts)
    else:
        with pytest.raises(testbed.TestbedError, match="90 of 128 inotify"):
            testbed.start_when_there_is_room("run", hosts)
    assert started == (["run"] if starts else [])
