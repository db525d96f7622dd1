"""What a unit needs is decided from its state, and what does not work is undone.

`systemctl` here is a script that keeps a unit's state in a folder: it gives systemd's answers and
nothing more. The real systemd is in the Molecule scenarios. The service is a real HTTP server.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from plugins.modules import service_live

UNIT = "app.service"
RESTART = ["reset-failed", "restart"]

# --- what has to be done ---

RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
}
STARTED_SECONDS_AGO = 100.0


def running(**other: str) -> dict[str, str]:
    stamp = int((time.monotonic() - STARTED_SECONDS_AGO) * 1e6)
    return {**RUNNING, "ExecMainStartTimestampMonotonic": str(stamp), **other}


@pytest.mark.parametrize(
    ("state", "changed_seconds_ago", "links", "actions"),
    [
        ({}, None, (None, None), []),
        ({}, 200, ("t/a", "t/a"), []),
        ({}, 50, ("t/a", "t/a"), ["restart"]),
        ({}, None, ("t/b", "t/a"), ["reload"]),
        ({}, None, ("t/a", None), ["reload"]),
        ({}, 50, ("t/b", "t/a"), ["restart"]),
        ({"NeedDaemonReload": "yes"}, None, ("t/b", "t/a"), ["daemon-reload", "restart"]),
        ({"UnitFileState": "disabled"}, None, (None, None), ["enable"]),
        ({"UnitFileState": "static"}, None, (None, None), []),
        ({"ActiveState": "reloading"}, None, (None, None), []),
        ({"ActiveState": "inactive"}, 50, ("t/b", "t/a"), ["start"]),
        ({"ActiveState": "failed"}, None, (None, None), ["start"]),
        ({"ActiveState": "activating"}, None, (None, None), ["start"]),
        (
            {"ActiveState": "inactive", "UnitFileState": "disabled", "NeedDaemonReload": "yes"},
            None,
            ("t/a", None),
            ["daemon-reload", "enable", "start"],
        ),
    ],
)
def test_plan(
    state: dict[str, str],
    changed_seconds_ago: float | None,
    links: tuple[str | None, str | None],
    actions: list[str],
) -> None:
    newest = 0.0 if changed_seconds_ago is None else time.time() - changed_seconds_ago
    assert service_live.plan(running(**state), newest, *links) == actions


def test_plan_restarts_a_timer_that_is_older_than_its_file() -> None:
    """It has no process: what counts is when it began to wait."""
    timer = running()
    timer["ActiveEnterTimestampMonotonic"] = timer.pop("ExecMainStartTimestampMonotonic")
    assert service_live.plan(timer, time.time() - 50, None, None) == ["restart"]
    assert service_live.plan(timer, time.time() - 200, None, None) == []


@pytest.mark.parametrize("state", ["not-found", "masked", "bad-setting"])
def test_plan_refuses_a_unit_that_is_not_there(state: str) -> None:
    with pytest.raises(service_live.ServiceError, match=f"the unit is {state}"):
        service_live.plan(running(LoadState=state), 0.0, None, None)


def test_a_service_without_a_reload_is_restarted_for_another_tree() -> None:
    assert service_live.plan(running(), 0.0, "new", "old", "restart") == ["restart"]
    assert service_live.plan(running(), 0.0, "new", "new", "restart") == []


def test_plan_needs_no_start_stamp_where_nothing_is_compared() -> None:
    """A timer has no main process."""
    assert service_live.plan(dict(RUNNING), 0.0, None, None) == []


def test_start_is_counted_on_the_clock_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    state = running()
    now = time.time()
    assert service_live.started_at(state) == pytest.approx(now - STARTED_SECONDS_AGO, abs=1)
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert service_live.started_at(state) == pytest.approx(now + 3600 - STARTED_SECONDS_AGO, abs=1)


def test_newest_change_counts_a_rename_and_no_copied_time(tmp_path: Path) -> None:
    old, fresh = tmp_path / "flags", tmp_path / "flags.new"
    before = time.time()
    fresh.write_text("x")
    os.utime(fresh, (0, 0))
    fresh.rename(old)
    newest = service_live.newest_change([str(old), str(tmp_path / "missing")])
    assert newest == pytest.approx(before, abs=1)
    assert service_live.newest_change([str(tmp_path / "missing")]) == 0.0
    assert service_live.newest_change([]) == 0.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("app_ok 1\n", 1.0),
        ("# HELP app_ok 5\napp_ok 1.7636e+09\nother 2\n", 1.7636e9),
        ("app_ok_total 7\nnot_app_ok 8\n", 0.0),
        ('app_ok{a="b"} 3\n', 0.0),
        ("", 0.0),
    ],
)
def test_metric(text: str, value: float) -> None:
    assert service_live.metric(text, "app_ok") == value


# --- a service and its unit ---

SYSTEMCTL = r"""#!/bin/sh
cd "$(dirname "$0")/unit" || exit 1
case "$*" in
    "show --property=ActiveState --value "*) cat ActiveState ;;
    "show --property=NRestarts --value "*)
        [ ! -e crashes ] || echo $(($(cat NRestarts) + 1)) >NRestarts
        cat NRestarts ;;
    show*)
        for name in LoadState ActiveState UnitFileState NeedDaemonReload DropInPaths FragmentPath \
            ExecMainStartTimestampMonotonic; do echo "$name=$(cat $name)"; done ;;
    *)
        echo "$1" >>calls
        if [ -e "refuse-$1" ]; then
            echo "Job for $2 failed." >&2
            exit 1
        fi
        case $1 in
            start | restart) echo active >ActiveState ;;
            enable) echo enabled >UnitFileState ;;
            daemon-reload) [ ! -e generated ] || cp generated FragmentPath ;;
        esac
        case $1 in start | restart | reload) ./take-up ;; esac ;;
esac
"""

# What the service does with its tree when it starts and when it is told to reload.
TAKE_UP = r"""#!/bin/sh
if grep -qs nonsense config/app.conf flags; then
    sed -i 's/^app_successful .*/app_successful 0/' metrics
else
    printf 'app_successful 1\napp_success_timestamp_seconds %s\n' "$(date +%s.%N)" >metrics
fi
"""

JOURNALCTL = "#!/bin/sh\necho 'app.conf: line 1: nonsense'\n"


class Service:
    """One unit, its tree and its HTTP server."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "unit"
        self.tree = self.folder / "config"
        self.url = f"http://127.0.0.1:{port}"
        self.drop_ins = folder / "units" / f"{UNIT}.d"
        self.drop_ins.mkdir(parents=True)
        for name, body in {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL}.items():
            self.script(folder / name, body)
        self.folder.mkdir()
        self.script(self.folder / "take-up", TAKE_UP)
        self.set(**running(), DropInPaths="", NRestarts="0", metrics="", calls="")
        self.set(FragmentPath="/usr/lib/systemd/system/app.service")
        for name, content in {"old": "old", "new": "new", "bad": "nonsense"}.items():
            (self.folder / "config.trees" / name).mkdir(parents=True)
            (self.folder / "config.trees" / name / "app.conf").write_text(content)

    @staticmethod
    def script(file: Path, body: str) -> None:
        file.write_text(body)
        file.chmod(0o755)

    def set(self, **values: str) -> None:
        for name, value in values.items():
            (self.folder / name).write_text(f"{value}\n" if value else "")

    def link(self, live: str, loaded: str | None) -> None:
        self.tree.symlink_to(f"config.trees/{live}")
        if loaded:
            self.tree.with_name("config.loaded").symlink_to(f"config.trees/{loaded}")

    def links(self) -> tuple[str, str | None]:
        loaded = self.tree.with_name("config.loaded")
        return self.tree.resolve().name, loaded.resolve().name if loaded.is_symlink() else None

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().split()

    def asked(self, **other: object) -> dict[str, object]:
        return {
            "unit": UNIT,
            "started_from": [],
            "tree": str(self.tree),
            "tls": None,
            "probe_url": f"{self.url}/ready",
            "reload_metric": "app",
            "metrics_url": f"{self.url}/metrics",
            "timeout_seconds": 0,
            **other,
        }

    def make_live(self, dry_run: bool = False, **other: object) -> list[str]:
        return service_live.make_live(self.asked(**other), dry_run)[0]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if (tmp_path / "unit/garbled").exists():
                self.wfile.write(b"SSH-2.0-not-http\r\n")
                return
            down = (tmp_path / "unit/down").exists()
            self.send_response(503 if down else 200)
            self.end_headers()
            self.wfile.write((tmp_path / "unit/metrics").read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made = Service(tmp_path, server.server_port)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(service_live, "UNITS", made.drop_ins.parent)
    monkeypatch.setattr(service_live, "KEPT", tmp_path / "kept")
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def loaded_before(service: Service, live: str = "old", loaded: str | None = "old") -> None:
    """The state that former runs left: `old` was taken up a while ago."""
    service.link(live, loaded)
    service.set(metrics="app_successful 1\napp_success_timestamp_seconds 1.7e+09")


def test_flags_that_it_does_not_start_with_are_put_back(service: Service) -> None:
    loaded_before(service)
    flags = service.folder / "flags"
    flags.write_text("--fine\n")
    flags.chmod(0o640)
    assert service.make_live(started_from=[str(flags)]) == ["restart"]
    # as Ansible writes it: another file under the same name, newer than the process
    flags.unlink()
    flags.write_text("--nonsense\n")
    with pytest.raises(service_live.ServiceError, match="the former one is live again"):
        service.make_live(started_from=[str(flags)])
    assert flags.read_text() == "--fine\n"
    assert flags.stat().st_mode & 0o777 == 0o640
    # A start that failed counts against the unit's limit: each one begins with a clean count.
    assert service.calls() == [*RESTART, *RESTART, "daemon-reload", *RESTART]


def test_flags_of_a_first_start_have_nothing_to_go_back_to(service: Service) -> None:
    loaded_before(service)
    flags = service.folder / "flags"
    flags.write_text("--nonsense\n")
    with pytest.raises(service_live.ServiceError, match="does not run as it should"):
        service.make_live(started_from=[str(flags)])
    assert flags.read_text() == "--nonsense\n"


def test_a_way_back_knows_which_files_there_were(service: Service) -> None:
    """A program becomes a container, with other files, and the other way round."""
    loaded_before(service)
    folder = service.folder / "unit.d"
    drop_in, flags = folder / "lookout.conf", service.folder / "flags"
    files = [str(drop_in), str(flags)]
    folder.mkdir()
    drop_in.write_text("[Service]\n")
    service.make_live(started_from=files)
    shutil.rmtree(folder)
    for _ in range(2):
        flags.write_text("--nonsense\n")
        with pytest.raises(service_live.ServiceError, match="the former one is live again"):
            service.make_live(started_from=files)
        assert drop_in.read_text() == "[Service]\n"
        assert not flags.exists()
    drop_in.unlink()
    flags.write_text("--fine\n")
    service.set(metrics="app_successful 1\napp_success_timestamp_seconds 1.7e+09")
    service.make_live(started_from=files)
    flags.write_text("--nonsense\n")
    with pytest.raises(service_live.ServiceError, match="the former one is live again"):
        service.make_live(started_from=files)
    assert not drop_in.exists()
    assert flags.read_text() == "--fine\n"


def test_unchanged_service_is_left_alone(service: Service) -> None:
    loaded_before(service)
    assert service.make_live() == []
    assert service.calls() == []


def test_new_tree_is_reloaded_and_then_on_record(service: Service) -> None:
    loaded_before(service, "new")
    assert service.make_live() == ["reload"]
    assert service.links() == ("new", "new")
    assert service.make_live() == []
    assert service.calls() == ["reload"]


def test_first_start_takes_the_tree_up(service: Service) -> None:
    service.link("new", None)
    service.set(ActiveState="failed", UnitFileState="disabled")
    assert service.make_live() == ["enable", "start"]
    # A unit that failed too often refuses to start until that is forgotten.
    assert service.calls() == ["enable", "reset-failed", "start"]
    assert service.links() == ("new", "new")


def test_changed_flags_restart(service: Service, tmp_path: Path) -> None:
    loaded_before(service)
    flags = tmp_path / "flags"
    flags.write_text("--verbose")
    assert service.make_live(started_from=[str(flags)]) == ["restart"]
    assert service.calls() == RESTART


def test_dry_run_foresees_a_unit_that_this_run_would_define(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_live, "unit_state", lambda _: {**RUNNING, "LoadState": "not-found"})
    assert service.make_live(dry_run=True) == ["daemon-reload", "enable", "start"]
    with pytest.raises(service_live.ServiceError, match="the unit is not-found"):
        service.make_live()


def test_dry_run_says_what_it_would_do(service: Service) -> None:
    loaded_before(service, "bad")
    service.set(NeedDaemonReload="yes")
    assert service.make_live(dry_run=True) == ["daemon-reload", "restart"]
    assert service.calls() == []
    assert service.links() == ("bad", "old")


def test_drop_in_that_systemd_has_not_read_is_loaded(service: Service) -> None:
    """systemd 252 says NeedDaemonReload=no after the first drop-in of a unit."""
    loaded_before(service)
    (service.drop_ins / "lookout.conf").write_text("[Service]\n")
    assert service.make_live() == ["daemon-reload", "restart"]
    service.set(DropInPaths=f"/run/other.conf {service.drop_ins}/lookout.conf")
    assert service.make_live() == []


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of which a generator would make the unit; it is not there yet."""
    monkeypatch.setattr(service_live, "CONTAINERS", tmp_path)
    return tmp_path / f"{UNIT.removesuffix('.service')}.container"


def test_container_that_systemd_does_not_know_yet_is_made_a_unit(
    service: Service, container: Path
) -> None:
    loaded_before(service)
    container.touch()
    service.set(generated=f"/run/systemd/generator/{UNIT}")
    assert service.make_live() == ["daemon-reload", "restart"]
    assert service.make_live() == []


def test_container_makes_a_unit_that_was_none(service: Service, container: Path) -> None:
    service.set(LoadState="not-found", ActiveState="inactive", UnitFileState="", FragmentPath="")
    service.link("old", None)
    with pytest.raises(service_live.ServiceError, match="the unit is not-found"):
        service.make_live()
    container.touch()
    service.set(generated=f"/run/systemd/generator/{UNIT}")
    assert service.make_live() == ["daemon-reload", "start"]


def test_container_of_which_no_unit_is_made_changes_nothing(
    service: Service, container: Path
) -> None:
    """What the package brought would be started in its place, without a limit."""
    loaded_before(service)
    container.touch()
    with pytest.raises(service_live.ServiceError, match="podman makes no unit of"):
        service.make_live()
    assert service.calls() == ["daemon-reload"]


# --- what does not work is undone ---


@pytest.mark.parametrize("action", ["reload", "restart"])
def test_refused_tree_is_rolled_back(service: Service, action: str, tmp_path: Path) -> None:
    loaded_before(service, "bad")
    flags = tmp_path / "flags"
    flags.touch()
    with pytest.raises(service_live.ServiceError) as error:
        service.make_live(started_from=[str(flags)] if action == "restart" else [])
    assert "it refused the configuration" in str(error.value)
    assert "the former one is live again" in str(error.value)
    assert "app.conf: line 1: nonsense" in str(error.value)
    assert service.links() == ("old", "old")
    assert service.calls() == (RESTART * 2 if action == "restart" else ["reload"] * 2)
    assert "app_successful 1\n" in (service.folder / "metrics").read_text()
    assert service.make_live() == []


def test_failing_reload_is_rolled_back(service: Service) -> None:
    loaded_before(service, "new")
    service.set(**{"refuse-reload": "yes"})
    with pytest.raises(service_live.ServiceError, match=r"Job for app\.service failed"):
        service.make_live()
    assert service.links() == ("old", "old")


def test_roll_back_that_fails_too_says_so(service: Service) -> None:
    loaded_before(service, "new")
    service.set(down="yes")
    with pytest.raises(service_live.ServiceError) as error:
        service.make_live()
    assert str(error.value).startswith(UNIT)
    assert "503" in str(error.value)
    assert "neither" in str(error.value)
    assert "app.conf: line 1: nonsense" in str(error.value)
    assert service.links() == ("old", "old")


def test_first_tree_that_is_refused_has_nothing_to_go_back_to(service: Service) -> None:
    service.link("bad", None)
    with pytest.raises(service_live.ServiceError, match="does not run as it should"):
        service.make_live()
    assert service.links() == ("bad", None)
    assert service.calls() == ["reload"]


def test_failure_that_is_not_the_trees_moves_no_link(service: Service) -> None:
    loaded_before(service)
    service.set(down="yes")
    with pytest.raises(service_live.ServiceError, match="503"):
        service.make_live()
    assert service.links() == ("old", "old")
    assert service.calls() == []


def test_loaded_tree_that_is_gone_is_not_gone_back_to(service: Service) -> None:
    loaded_before(service, "bad", "deleted")
    with pytest.raises(service_live.ServiceError, match="does not run as it should"):
        service.make_live()
    assert service.tree.resolve().name == "bad"


# --- waiting ---


def test_crash_looping_unit_is_not_waited_for(service: Service) -> None:
    loaded_before(service)
    service.set(down="yes", crashes="yes")
    started = time.monotonic()
    with pytest.raises(service_live.ServiceError, match="503"):
        service.make_live(timeout_seconds=30)
    assert time.monotonic() - started < 5


def test_unit_that_is_not_active_is_no_success(service: Service) -> None:
    loaded_before(service, "new")
    service.set(ActiveState="reloading")
    with pytest.raises(service_live.ServiceError, match="the unit is reloading"):
        service.make_live()
    assert service.links() == ("old", "old")


@pytest.mark.parametrize("arrives", [True, False])
def test_stale_reload_timestamp_is_waited_for(service: Service, arrives: bool) -> None:
    """A reload returns before the service has taken its tree up: success is that of before."""
    loaded_before(service, "new")
    later = f"(sleep 0.5; {service.folder}/really-take-up) >/dev/null 2>&1 &" if arrives else ""
    service.script(service.folder / "really-take-up", f"#!/bin/sh\ncd {service.folder}\n{TAKE_UP}")
    service.script(service.folder / "take-up", f"#!/bin/sh\n{later}\n")
    started = time.monotonic()
    if arrives:
        assert service.make_live(timeout_seconds=20) == ["reload"]
        assert 0.4 < time.monotonic() - started < 10
        assert service.links() == ("new", "new")
    else:
        with pytest.raises(service_live.ServiceError, match="it has not reloaded yet"):
            service.make_live()
        assert service.links() == ("old", "old")


def test_systemctl_that_hangs_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded_before(service, "new")
    service.script(service.folder / "take-up", "#!/bin/sh\nexec sleep 3 >/dev/null 2>&1\n")
    monkeypatch.setattr(service_live, "SYSTEMCTL_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(service_live.ServiceError, match=r"reload app\.service did not end within"):
        service.make_live()
    assert service.links() == ("old", "old")


@pytest.mark.parametrize("state", ["garbled", "down"])
def test_service_that_answers_late_is_waited_for(service: Service, state: str) -> None:
    loaded_before(service, "new")
    (service.folder / state).touch()
    threading.Timer(0.3, (service.folder / state).unlink).start()
    assert service.make_live(timeout_seconds=20) == ["reload"]
    assert service.links() == ("new", "new")


# --- as Ansible calls it ---


def answer(capsys: pytest.CaptureFixture[str], **arguments: object) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        service_live.main()
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def test_module_returns_its_actions(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    loaded_before(service, "new")
    shown = answer(capsys, **service.asked())
    assert (shown["changed"], shown["actions"]) == (True, ["reload"])
    shown = answer(capsys, **service.asked())
    assert (shown["changed"], shown["actions"]) == (False, [])


def test_module_of_a_unit_alone(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.set(UnitFileState="disabled")
    assert answer(capsys, unit=UNIT)["actions"] == ["enable"]
    service.set(LoadState="not-found")
    shown = answer(capsys, unit=UNIT)
    assert shown["failed"]
    assert "the unit is not-found" in shown["msg"]


def test_module_wants_the_metrics_beside_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, unit=UNIT, reload_metric="app")
    assert shown["failed"]
    assert "metrics_url" in shown["msg"]


# --- a service that shows which tree it runs ---


def shows(service: Service, text: str) -> dict[str, Any]:
    """Arguments for a service that shows a text at /metrics, which its tree is to have."""
    service.set(metrics=text)
    loaded = {"loaded_url": f"{service.url}/metrics", "loaded_file": "app.conf"}
    return {**loaded, "reload_metric": None, "metrics_url": None}


def test_service_that_shows_its_tree_is_left_alone(service: Service) -> None:
    service.link("old", "old")
    assert service.make_live(**shows(service, "old")) == []


def test_service_that_runs_another_tree_than_on_record_is_reloaded(service: Service) -> None:
    service.link("new", "new")
    service.script(service.folder / "take-up", "#!/bin/sh\ncp config/app.conf metrics\n")
    assert service.make_live(dry_run=True, **shows(service, "old")) == ["reload"]
    assert service.make_live(**shows(service, "old")) == ["reload"]
    assert service.make_live(**shows(service, "new")) == []


def test_reload_that_is_refused_in_silence_is_rolled_back(service: Service) -> None:
    service.link("new", "old")
    service.script(service.folder / "take-up", "#!/bin/sh\n")
    with pytest.raises(service_live.ServiceError) as error:
        service.make_live(**shows(service, "old"))
    assert "it still runs another configuration" in str(error.value)
    assert "the former one is live again" in str(error.value)
    assert service.links() == ("old", "old")


def test_service_that_shows_nothing_runs_nothing(service: Service) -> None:
    service.link("old", "old")
    service.script(service.folder / "take-up", "#!/bin/sh\n")
    with pytest.raises(service_live.ServiceError, match="it still runs another configuration"):
        service.make_live(**shows(service, ""))


# --- a service that speaks no HTTP, and is asked by commands ---

# It shows the tree that it has read; what a reload cannot take up waits.
TAKE_UP_WITH_REST = r"""#!/bin/sh
cp config/app.conf metrics
echo shared_buffers >pending
[ "$(tail -n 1 calls)" = reload ] || : >pending
"""


def asked_by_commands(service: Service, **other: object) -> dict[str, Any]:
    service.script(service.folder / "take-up", TAKE_UP_WITH_REST)
    service.set(metrics="old", pending="")
    probe = f"cd {service.folder}; test ! -e down || {{ echo no route >&2; exit 2; }}"
    return {
        **dict.fromkeys(("probe_url", "reload_metric", "metrics_url")),
        "probe_argv": ["sh", "-c", probe],
        "loaded_argv": ["cat", str(service.folder / "metrics")],
        "loaded_file": "app.conf",
        "pending_argv": ["cat", str(service.folder / "pending")],
        **other,
    }


def test_commands_find_a_service_that_is_as_it_should_be(service: Service) -> None:
    service.link("old", "old")
    asked = service.asked(**asked_by_commands(service))
    assert service_live.make_live(asked, False) == ([], [])


def test_what_a_reload_does_not_take_up_waits_for_a_permission(service: Service) -> None:
    service.link("new", "old")
    asked = service.asked(**asked_by_commands(service, restart_allowed=False))
    assert service_live.make_live(asked, False) == (["reload"], ["shared_buffers"])
    assert service.calls() == ["reload"]
    assert service.links() == ("new", "new")
    # The next run still says so.
    assert service_live.make_live(asked, False) == ([], ["shared_buffers"])
    assert service_live.make_live(asked, True) == ([], ["shared_buffers"])


def test_what_a_reload_does_not_take_up_is_restarted_with_a_permission(service: Service) -> None:
    service.link("new", "old")
    asked = service.asked(**asked_by_commands(service))
    assert service_live.make_live(asked, False) == (["reload", "restart"], [])
    assert service.calls() == ["reload", *RESTART]
    service.set(pending="shared_buffers")
    assert service_live.make_live(asked, True) == (["restart"], [])


def test_changed_flags_wait_too(service: Service, tmp_path: Path) -> None:
    service.link("new", "old")
    flags = tmp_path / "flags"
    flags.write_text("--new")
    wishes = {"started_from": [str(flags)], "restart_allowed": False}
    asked = service.asked(**asked_by_commands(service, **wishes))
    actions, waits = service_live.make_live(asked, False)
    assert actions == ["reload"]
    assert waits == [service_live.ITS_UNIT, "shared_buffers"]
    assert "restart" not in service.calls()
    assert not (tmp_path / "kept").exists(), "the unit does not run with them"


def test_a_unit_that_is_down_is_started_without_a_permission(service: Service) -> None:
    service.link("new", "old")
    service.set(ActiveState="inactive")
    asked = service.asked(**asked_by_commands(service, restart_allowed=False))
    assert service_live.make_live(asked, False) == (["start"], [])


def test_a_command_that_fails_is_no_answer(service: Service) -> None:
    service.link("new", "old")
    service.set(down="yes")
    with pytest.raises(service_live.ServiceError, match="no route"):
        service_live.make_live(service.asked(**asked_by_commands(service)), False)
    assert service.links() == ("old", "old")


def test_a_restart_that_fails_after_the_reload_is_rolled_back(service: Service) -> None:
    service.link("new", "old")
    asked = service.asked(**asked_by_commands(service))
    starts = (
        "test $(tail -n 1 calls) = reload || { rm -f down; ! grep new config/* || touch down; }"
    )
    script = f"{TAKE_UP_WITH_REST}{starts} >/dev/null\n"
    service.script(service.folder / "take-up", script)
    with pytest.raises(service_live.ServiceError, match="the former one is live again"):
        service_live.make_live(asked, False)
    assert service.links() == ("old", "old")
    assert service.calls() == ["reload", *RESTART, *RESTART]
    assert (service.folder / "metrics").read_text() == "old"


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_live, "ANSWER_SECONDS", 0.05)
    with pytest.raises(OSError, match="did not end within"):
        service_live.printed(["sleep", "5"])
