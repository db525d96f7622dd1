#!/usr/bin/python
"""Make a unit run what is on disk: decided from its state, not from what this run changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_live
short_description: a unit that is enabled, active, and runs the configuration on disk
description:
  - Compares what a unit runs with what lies on disk, and starts, restarts or reloads it where the
    two differ. A handler is lost when a run dies between the change and the end of the play; a
    comparison is made anew by the next run.
  - It restarts when a file of O(started_from) is newer than the process, or when systemd had not
    yet read a change of the unit, and reloads when the tree O(tree) is not the one that was loaded
    last.
  - After that it waits until the service answers. One that does not start with its new files, or
    does not take its new tree, gets the former ones back, and the task fails with the unit's own
    words.
options:
  unit:
    description: Name of the unit.
    type: str
    required: true
  started_from:
    description: Files that the process reads only when it starts (flags, drop-ins).
    type: list
    elements: path
    default: []
  tree:
    description: The link of M(config_tree) which a reload takes up.
    type: path
  tree_restarts:
    description: Whether the service reads its tree only when it starts.
    type: bool
    default: false
  probe_url:
    description:
      - Has to answer with a 2xx status. Over TLS, the refusal of a host that has no client
        certificate is an answer too, as the service proved who it is before.
    type: str
  tls:
    description:
      - Files for C(https) addresses, as the variable C(register_tls) names them, C(ca) to check the
        service's certificate, C(certificate) and C(key) to show where the host has them.
    type: dict
    suboptions:
      ca: {description: CA certificates., type: path, required: true}
      certificate: {description: Client certificate., type: path, required: true}
      key: {description: Its key., type: path, required: true}
  reload_metric:
    description:
      - Prefix of the metrics on O(metrics_url) that say whether and when the last reload succeeded
        (C(<prefix>_successful), C(<prefix>_success_timestamp_seconds)).
    type: str
  metrics_url:
    description: Where the service shows its own metrics.
    type: str
  loaded_url:
    description:
      - Where a service without metrics shows a text that stands in O(loaded_file) of the tree that
        it runs. A reload that the service refused in silence is found that way, and so is one
        that somebody made by hand.
    type: str
  loaded_file:
    description: File of the tree, relative to it, that holds what O(loaded_url) shows.
    type: str
  probe_argv:
    description: A command that ends with 0 when the service answers, for one that speaks no HTTP.
    type: list
    elements: str
  loaded_argv:
    description: A command that prints what O(loaded_url) would show.
    type: list
    elements: str
  pending_argv:
    description:
      - A command that prints, line by line, what the service has read and cannot take up without a
        restart; nothing where there is no such thing. Asked after every reload and by every run.
    type: list
    elements: str
  restart_allowed:
    description:
      - Whether a unit that runs may be restarted. If not, what would need it is returned as
        RV(restart_needed), and the unit keeps running with what it has. A unit that does not run is
        started all the same.
    type: bool
    default: true
  timeout_seconds:
    description: How long the service may take until it answers.
    type: int
    default: 60
author: Lookout
"""

EXAMPLES = r"""
- name: Ensure Prometheus runs what is on disk
  service_live:
    unit: prometheus.service
    started_from: [/etc/default/prometheus]
    tree: /etc/prometheus/config
    probe_url: http://127.0.0.1:9090/-/ready
"""

RETURN = r"""
actions:
  description: What was done, of C(daemon-reload), C(enable), C(start), C(restart), C(reload).
  returned: success
  type: list
  elements: str
restart_needed:
  description: What waits for a restart that is not allowed.
  returned: success
  type: list
  elements: str
"""

import contextlib
import http.client
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lookout_http import TLS_OPTIONS, CertificateRequiredError, fetch
from ansible.module_utils.lookout_links import fsync_folder, loaded_link, point

UNITS = Path("/etc/systemd/system")
# Of these files a generator makes units, when systemd reads its units anew.
CONTAINERS, GENERATED = Path("/etc/containers/systemd"), "/run/systemd/generator/"
GENERATOR = "`/usr/lib/systemd/system-generators/podman-system-generator --dryrun`"
ITS_UNIT = "its unit"  # what waits for a restart where a start-up file or the unit changed
# Copies of the start-up files that a unit last ran with
KEPT = Path("/var/lib/lookout/started_from")
ABSENT = "absent"  # what a link in the place of a copy points at, where there was no such file
CRASHES = 3
ANSWER_SECONDS = 5
REFUSED = "it refused the configuration"
# A reload is asked for by a signal: the metric may be that of an earlier one for so long.
REFUSED_SECONDS = 10
SYSTEMCTL_TIMEOUT_SECONDS = 900  # a database with a long history takes minutes to stop


class ServiceError(Exception):
    """The unit does not run, or does not take its configuration."""


def systemctl(*arguments: str) -> str:
    """Run systemctl; ServiceError with its words where it fails."""
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=SYSTEMCTL_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(
            f"systemctl {' '.join(arguments)} did not end within {SYSTEMCTL_TIMEOUT_SECONDS} s"
        ) from None
    if done.returncode != 0:
        raise ServiceError(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def unit_state(unit: str) -> dict[str, str]:
    names = (
        "LoadState,ActiveState,UnitFileState,NeedDaemonReload,DropInPaths,FragmentPath,"
        "ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic"
    )
    shown = systemctl("show", "--property", names, unit)
    state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    # systemd 252 does not notice the first drop-in of a unit, so that it has to be compared.
    on_disk = {str(file) for file in (UNITS / f"{unit}.d").glob("*.conf")}
    if on_disk - set(state["DropInPaths"].split()):
        state["NeedDaemonReload"] = "yes"
    # Nor any of them that a unit would now be made of a container.
    if not_made(unit, state):
        state["NeedDaemonReload"] = "yes"
    return state


def not_made(unit: str, state: dict[str, str]) -> Path | None:
    """The file of the container that the unit ought to be made of, and is not."""
    container = CONTAINERS / f"{unit.removesuffix('.service')}.container"
    made = state["FragmentPath"].startswith(GENERATED)
    return container if container.exists() and not made else None


def started_at(state: dict[str, str]) -> float:
    """Start of the main process, or of a timer, in seconds since the epoch by today's clock.

    The monotonic stamp is used because a clock that was set after the start would make every
    file look newer (or older) than the process.
    """
    # A timer has no process.
    start = state.get("ExecMainStartTimestampMonotonic") or state["ActiveEnterTimestampMonotonic"]
    age = time.monotonic() - int(start) / 1e6
    return time.time() - age


def newest_change(paths: list[str]) -> float:
    """When a start-up file was last changed (ctime: a rename counts, a copied mtime does not)."""
    return max((os.stat(path).st_ctime for path in paths if os.path.exists(path)), default=0.0)


def kept(unit: str, path: str) -> Path:
    return KEPT / unit / path.strip("/").replace("/", "%")


def copy(source: Path, to: Path) -> None:
    """Copy contents and mode to a temporary name, then rename: nobody reads half a file."""
    fresh = to.with_name(f".{to.name}.new")
    shutil.copy2(source, fresh)
    os.replace(fresh, to)
    fsync_folder(to.parent)


def differs(one: Path, other: Path) -> bool:
    return not other.exists() or one.read_bytes() != other.read_bytes()


def keep(unit: str, paths: list[str]) -> None:
    """Remember the start-up files that the unit runs with, and those that are not there."""
    for path in paths:
        store = kept(unit, path)
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.exists(path):
            if target(store) != ABSENT:
                point(store, ABSENT)
        elif differs(Path(path), store):
            copy(Path(path), store)


def put_back(unit: str, paths: list[str]) -> bool:
    """Restore the start-up files that the unit last ran with; whether there was something to."""
    changed = False
    for path in map(Path, paths):
        store = kept(unit, str(path))
        if target(store) == ABSENT:
            changed |= path.exists()
            path.unlink(missing_ok=True)
        elif store.exists() and differs(store, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            copy(store, path)
            changed = True
    return changed


def target(link: Path) -> str | None:
    return os.readlink(link) if link.is_symlink() else None


def plan(
    state: dict[str, str],
    newest: float,
    live: str | None,
    loaded: str | None,
    takes_up: str = "reload",
) -> list[str]:
    """What has to be done, in order, so that the unit runs what is on disk."""
    actions = []
    if state["NeedDaemonReload"] == "yes":
        actions.append("daemon-reload")
    elif state["LoadState"] != "loaded":
        raise ServiceError(f"the unit is {state['LoadState']}")
    if state["UnitFileState"] == "disabled":
        actions.append("enable")
    if state["ActiveState"] not in ("active", "reloading"):
        actions.append("start")
    elif "daemon-reload" in actions or (newest and newest > started_at(state)):
        actions.append("restart")
    elif live != loaded:
        actions.append(takes_up)
    return actions


def act(unit: str, actions: list[str]) -> None:
    for action in actions:
        if action == "daemon-reload":
            systemctl("daemon-reload")
            if container := not_made(unit, unit_state(unit)):
                # Another unit of that name would be started.
                raise ServiceError(f"podman makes no unit of {container}: {GENERATOR} says why")
            continue
        if action in ("start", "restart"):
            # A unit that was started too often in a row refuses until that is forgotten.
            systemctl("reset-failed", unit)
        systemctl(action, unit)


def metric(text: str, name: str) -> float:
    """The value of an unlabelled metric in Prometheus' text format; 0 where it is missing."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def printed(argv: object) -> str:
    """What a command prints; OSError with its words where it fails."""
    words = [str(word) for word in argv]  # type: ignore[attr-defined]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"{words[0]} did not end within {ANSWER_SECONDS} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise OSError(f"{words[0]}: {said or f'status {done.returncode}'}")
    return done.stdout.strip()


def shows_tree(asked: dict[str, object]) -> bool:
    """Whether the service shows a text that the live tree has; OSError where it does not answer."""
    if asked.get("loaded_argv"):
        shown = printed(asked["loaded_argv"])
    else:
        shown = fetch(str(asked["loaded_url"]), asked["tls"], ANSWER_SECONDS).strip()
    file = Path(str(asked["tree"])) / str(asked["loaded_file"])
    return bool(shown) and shown in file.read_text(encoding="utf-8")


def runs_another_tree(asked: dict[str, object]) -> bool:
    """Whether a service that answers shows another tree than the live one."""
    if not (asked.get("loaded_url") or asked.get("loaded_argv")):
        return False
    try:
        return not shows_tree(asked)
    except (OSError, http.client.HTTPException):
        return False


def answers(asked: dict[str, object], since: float) -> str | None:
    """None when the service does what it should, otherwise what is wrong with it."""
    tls: dict[str, str] | None = asked["tls"]  # type: ignore[assignment]
    try:
        if asked["probe_url"]:
            with contextlib.suppress(CertificateRequiredError):
                fetch(str(asked["probe_url"]), tls, ANSWER_SECONDS)
        if asked.get("probe_argv"):
            printed(asked["probe_argv"])
        if asked["reload_metric"]:
            shown = fetch(str(asked["metrics_url"]), tls, ANSWER_SECONDS)
            if not metric(shown, f"{asked['reload_metric']}_successful"):
                return REFUSED
            if metric(shown, f"{asked['reload_metric']}_success_timestamp_seconds") < since:
                return "it has not reloaded yet"
        if (asked.get("loaded_url") or asked.get("loaded_argv")) and not shows_tree(asked):
            return "it still runs another configuration"
    except (OSError, http.client.HTTPException) as error:
        url = asked["probe_url"] or asked["metrics_url"] or asked.get("loaded_url")
        return f"{url}: {error}" if url else str(error)
    state = systemctl("show", "--property=ActiveState", "--value", str(asked["unit"])).strip()
    if state != "active":
        return f"the unit is {state}"
    return None


def restarts(unit: str) -> int:
    """How often systemd started the unit again by itself."""
    return int(systemctl("show", "--property=NRestarts", "--value", unit).strip() or 0)


def wait_for_answer(asked: dict[str, object], since: float) -> None:
    """Wait until the service answers; one that dies again and again is not waited for."""
    unit = str(asked["unit"])
    started = time.monotonic()
    patience = int(str(asked["timeout_seconds"]))
    before = restarts(unit)
    while wrong := answers(asked, since):
        waited = time.monotonic() - started
        refused = wrong == REFUSED and waited > REFUSED_SECONDS
        if waited > patience or refused or restarts(unit) - before >= CRASHES:
            raise ServiceError(wrong)
        time.sleep(0.1)


def journal(unit: str) -> str:
    done = subprocess.run(
        ["journalctl", "--no-pager", "--lines=15", "--output=cat", "--unit", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.stdout.strip()


def without_restart(actions: list[str], live: str | None, loaded: str | None) -> list[str]:
    """The actions for a unit that has to keep running: what a reload takes up is reloaded."""
    kept_actions = [action for action in actions if action != "restart"]
    return [*kept_actions, "reload"] if live != loaded else kept_actions


def settings_pending(asked: dict[str, object]) -> list[str]:
    """What the running service cannot take up without a restart; nothing while it does not run."""
    if not asked.get("pending_argv"):
        return []
    try:
        return printed(asked["pending_argv"]).splitlines()
    except OSError:
        return []


def foreseen(
    asked: dict[str, object], actions: list[str], waits: list[str]
) -> tuple[list[str], list[str]]:
    """What a run would do, as far as the service can tell before it has read what is new."""
    waits = waits + settings_pending(asked)
    if not asked.get("restart_allowed", True):
        return actions, waits
    if waits and not {"start", "restart"} & set(actions):
        actions = [*(action for action in actions if action != "reload"), "restart"]
    return actions, []


def undo(asked: dict[str, object], moved: list[str], error: ServiceError) -> NoReturn:
    """Go back to what the unit last ran with; ServiceError with what came of it."""
    unit = str(asked["unit"])
    tree = Path(str(asked["tree"])) if asked["tree"] else None
    live = target(tree) if tree else None
    loaded = target(loaded_link(tree)) if tree else None
    started_from: list[str] = list(asked["started_from"])  # type: ignore[call-overload]
    words = journal(unit)
    restarted = bool({"start", "restart"} & set(moved)) or "reload" not in moved
    files_back = restarted and put_back(unit, started_from)
    tree_back = bool(tree and loaded and live != loaded and (tree.parent / loaded).is_dir())
    if tree and loaded and tree_back:
        point(tree, loaded)
    if files_back or tree_back:
        try:
            unread = ["daemon-reload"] if files_back else []
            act(unit, [*unread, "restart" if restarted else "reload"])
            wait_for_answer(asked, 0.0)
        except ServiceError as again:
            raise ServiceError(
                f"{unit} took neither its new configuration ({error}) nor the former one "
                f"({again}), which is live again.\n{words}"
            ) from None
        raise ServiceError(
            f"{unit} did not take its new configuration ({error}); the former one is live "
            f"again.\n{words}"
        ) from None
    raise ServiceError(f"{unit} does not run as it should: {error}\n{words}") from None


def make_live(asked: dict[str, object], dry_run: bool) -> tuple[list[str], list[str]]:
    """Bring the unit to what is on disk.

    Returns the actions, and what waits for a restart that is not allowed; ServiceError where it
    fails.
    """
    unit = str(asked["unit"])
    tree = Path(str(asked["tree"])) if asked["tree"] else None
    live = target(tree) if tree else None
    loaded = target(loaded_link(tree)) if tree else None
    started_from: list[str] = list(asked["started_from"])  # type: ignore[call-overload]
    newest = newest_change(started_from)
    state = unit_state(unit)
    if dry_run and state["LoadState"] == "not-found":
        # This run would have defined it.
        return ["daemon-reload", "enable", "start"], []
    running = None if runs_another_tree(asked) else loaded
    takes_up = "restart" if asked.get("tree_restarts") else "reload"
    actions = plan(state, newest, live, running, takes_up)
    allowed = bool(asked.get("restart_allowed", True))
    waits = [ITS_UNIT] if "restart" in actions and not allowed else []
    if waits:
        actions = without_restart(actions, live, running)
    if dry_run:
        return foreseen(asked, actions, waits)
    moved = [action for action in actions if action in ("start", "restart", "reload")]
    try:
        since = time.time() if moved else 0.0
        act(unit, actions)
        wait_for_answer(asked, since)
        settings = settings_pending(asked)
        if settings and allowed:
            actions, moved = [*actions, "restart"], [*moved, "restart"]
            act(unit, ["restart"])
            wait_for_answer(asked, since)
        elif settings:
            waits += settings
    except ServiceError as error:
        undo(asked, moved, error)
    if tree and live and live != loaded:
        point(loaded_link(tree), live)
    if ITS_UNIT not in waits:
        keep(unit, started_from)
    return actions, waits


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "started_from": {"type": "list", "elements": "path", "default": []},
            "tree": {"type": "path"},
            "tree_restarts": {"type": "bool", "default": False},
            "probe_url": {"type": "str"},
            "tls": {"type": "dict", "options": TLS_OPTIONS},
            "reload_metric": {"type": "str"},
            "metrics_url": {"type": "str"},
            "loaded_url": {"type": "str"},
            "loaded_file": {"type": "str"},
            "probe_argv": {"type": "list", "elements": "str"},
            "loaded_argv": {"type": "list", "elements": "str"},
            "pending_argv": {"type": "list", "elements": "str"},
            "restart_allowed": {"type": "bool", "default": True},
            "timeout_seconds": {"type": "int", "default": 60},
        },
        required_by={
            "reload_metric": ["metrics_url"],
            "loaded_url": ["tree", "loaded_file"],
            "loaded_argv": ["tree", "loaded_file"],
        },
        supports_check_mode=True,
    )
    try:
        actions, waits = make_live(module.params, module.check_mode)
    except (ServiceError, OSError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(actions), actions=actions, restart_needed=waits)


if __name__ == "__main__":
    main()
