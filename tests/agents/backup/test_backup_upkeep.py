"""The nightly upkeep, with a real restic: what is damaged is found, told, and left as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookout.backup import store_options, store_upkeep
from lookout.backup.restic import ResticError, Snapshot
from lookout.backup.store_found import MOST_PARTS, is_unfinished, parts_of
from lookout.backup.store_options import MARKER, Copy, Room, StoreOptions
from lookout.backup.store_repository import Clock, Locks, begin, patiently

PASSWORD = "canary-of-the-repository"  # noqa: S105
DAY = 86400


class Store:
    """A store with the repository of app1, and what its upkeep said."""

    def __init__(self, options: StoreOptions) -> None:
        self.options = options
        self.folder = options.path / "app1"
        self.told: dict[str, str] = {}

    def restic(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["restic", "--no-cache", "--repo", str(self.folder), *arguments],
            env={**os.environ, "RESTIC_PASSWORD": PASSWORD},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def save(
        self,
        days_ago: float,
        *record: str,
        good: bool = True,
        part: str = "etc",
        came: float | None = None,
    ) -> str:
        """A run as role backup makes it; returns the id of its snapshot, which `came` then."""
        came = days_ago if came is None else came
        before = {file.name for file in (self.folder / "snapshots").iterdir()}
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - days_ago * DAY))
        common = ("--host", "app1", "--time", when, "--json")
        said = self.restic("backup", ".", "--tag", f"part={part}", *common, cwd=self.data)
        id_ = str(json.loads(said.splitlines()[-1])["snapshot_id"])
        full = next(i["id"] for i in self.listed() if i["id"].startswith(id_))
        tags = [f"--tag=record,good={full}"] if good else ["--tag=record"]
        self.restic("backup", ".", *tags, *record, *common, cwd=self.data)
        for file in (self.folder / "snapshots").iterdir():
            if file.name not in before:
                os.utime(file, (time.time() - came * DAY,) * 2)
        return str(full)

    @property
    def data(self) -> Path:
        return self.options.path.parent / "data"

    def listed(self) -> list[dict[str, str]]:
        return list(json.loads(self.restic("snapshots", "--json")))

    def once(self, **changes: Any) -> int:
        self.told.clear()
        options = replace(self.options, **changes)
        return store_upkeep.once(options, ["app1"], self.told.__setitem__, time.time())

    def metrics(self) -> dict[str, float]:
        lines = self.options.metrics_file.read_text().splitlines()
        found = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name.removeprefix("lookout_backup_store_"): float(value) for name, value in found}

    def packs(self) -> list[Path]:
        return sorted(file for file in (self.folder / "data").rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one good backup of today; making a repository takes seconds."""
    root = tmp_path_factory.mktemp("template")
    (root / "monitoring").mkdir()
    (root / "data").mkdir()
    for number in range(8):
        # Of random bytes, so that each of them is found in a pack
        (root / f"data/file{number}").write_bytes(os.urandom(40_000))
    (root / "monitoring" / MARKER).write_text("store 1\n")
    options = of(root)
    begin(options, "app1", PASSWORD, "", anew=False)
    Store(options).save(0)
    return root


def of(root: Path) -> StoreOptions:
    return StoreOptions(
        instance="store",
        path=root / "monitoring",
        identity="store 1",
        metrics_file=root / "backup_store.prom",
        state_file=root / "state.json",
        check_nights=1,
    )


@pytest.fixture
def store(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    root = tmp_path / "store"
    shutil.copytree(template, root)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "password_app1").write_text(PASSWORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    return Store(of(root))


def flip(file: Path, at: int = -200) -> None:
    """One bit of a file that nobody is to write."""
    file.chmod(0o600)
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)


# --- a night in which all is well ---


def test_what_is_old_goes_and_the_metrics_say_how_it_is(store: Store) -> None:
    old = [store.save(40), store.save(39, good=False)]
    store.save(1)
    before = time.time()
    assert store.once(keep_days=1) == 0
    assert store.told == {}
    left = {one["id"] for one in store.listed()}
    assert not left & set(old)
    assert len(left) == 4, "of two nights, and their records"
    metrics = store.metrics()
    assert metrics["mounted"] == 1
    assert 0 < metrics["free_bytes"] <= metrics["size_bytes"]
    assert metrics['last_check_success{host="app1"}'] == 1
    assert metrics['snapshots{host="app1",part="etc"}'] == 2
    assert metrics['nights{host="app1",part="etc"}'] == 1
    assert abs(metrics['oldest_timestamp_seconds{host="app1",part="etc"}'] + DAY - before) < 600
    assert metrics['newest_good_timestamp_seconds{host="app1",part="etc"}'] > before - 600
    for name in ("last_run", "last_success"):
        assert metrics[f"{name}_timestamp_seconds"] >= before
    for name in ("last_check", "last_prune"):
        assert metrics[f'{name}_timestamp_seconds{{host="app1"}}'] >= before
    stored = sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
    assert metrics['repository_bytes{host="app1"}'] == stored
    assert not any(name.startswith("copy") for name in metrics)


def test_what_is_forged_in_one_night_pushes_nothing_out(store: Store) -> None:
    """A host that was broken into, and had not been saved for weeks."""
    real = {store.save(days) for days in (50, 49)}
    for days in (2, 1):
        store.save(days, came=0)
    assert store.once(keep_days=2) == 0
    assert real < {one["id"] for one in store.listed()}
    assert store.metrics()['nights{host="app1",part="etc"}'] == 2


def test_an_upload_that_was_ended_in_its_midst_goes_on_the_next_night(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(free=6, size=100)
    monkeypatch.setattr(store_options, "room", lambda _: room)
    """What is left of it: packs that no snapshot refers to, and no index lists."""

    def files() -> set[Path]:
        return {file for kind in ("index", "snapshots") for file in (store.folder / kind).iterdir()}

    large = store.data / "large"
    large.write_bytes(os.urandom(300_000))
    packs, before = set(store.packs()), files()
    store.save(0, good=False, part="large")
    for file in files() - before:
        file.unlink()
    left, unfinished = set(store.packs()) - packs, "--tag=record,unfinished"
    store.restic("backup", str(store.options.path / MARKER), unfinished)
    assert store.once(keep_days=1) == 0
    assert left < set(store.packs())
    said = store.restic("backup", str(large), "--dry-run", "--json")
    assert json.loads(said.splitlines()[-1])["data_added"] < 10_000
    assert 'last_prune_timestamp_seconds{host="app1"}' not in store.metrics()
    # Not for more nights than are kept
    assert store.once(keep_days=1) == 0
    assert not left & set(store.packs())
    assert 'last_prune_timestamp_seconds{host="app1"}' in store.metrics()


def test_it_is_the_last_record_by_its_arrival_that_says_so() -> None:
    def told(name: str, when: float, *tags: str) -> Snapshot:
        return Snapshot(name, when, "app1", ("record", *tags))

    whole, cut = told("whole", 5), told("cut", 9, "unfinished")
    assert is_unfinished([cut, whole], {"whole": 1, "cut": 2}, 3)
    assert not is_unfinished([cut, whole], {"whole": 2, "cut": 1}, 3)
    assert is_unfinished([], {}, 3)
    assert not is_unfinished([cut, whole], {"whole": 1, "cut": 2}, 2 * DAY), "none goes on with it"


def test_a_disk_that_is_full_is_pruned_whatever_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no host could save anything, nor end what goes on, before a month has gone by."""
    store.restic("backup", str(store.options.path / MARKER), "--tag=record,unfinished")
    room = Room(free=4, size=100)
    monkeypatch.setattr(store_options, "room", lambda _: room)
    assert store.once() == 0
    assert 'last_prune_timestamp_seconds{host="app1"}' in store.metrics()


def test_before_the_first_record_nothing_is_pruned(store: Store) -> None:
    for file in (store.folder / "snapshots").iterdir():
        file.unlink()
    before = set(store.packs())
    assert store.once() == 0
    assert set(store.packs()) == before


def test_one_that_is_not_good_is_no_newest_good_one(store: Store) -> None:
    store.save(0, good=False, part="postgresql")
    assert store.once() == 0
    metrics = store.metrics()
    assert metrics['snapshots{host="app1",part="postgresql"}'] == 1
    assert 'newest_good_timestamp_seconds{host="app1",part="postgresql"}' not in metrics


def test_whatever_a_host_adds_is_not_more_than_prometheus_takes() -> None:
    """Of one target it takes so many samples, and names of so many letters, or none at all."""
    ones = [Snapshot(f"id{number}", number, "app1", (f"part=p{number}",)) for number in range(999)]
    ones += [Snapshot("long", 0, "app1", (f"part={'x' * 2000}",))]
    arrivals = {one.id: one.time for one in reversed(ones)}
    assert set(parts_of(ones, arrivals, 2000)) == {f"p{number}" for number in range(MOST_PARTS)}


def test_a_part_that_the_host_has_no_more_is_told(store: Store) -> None:
    store.save(2, part="postgresql")
    for days_ago in (1, 0.5):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - days_ago * DAY))
        tags = ("--tag", "record,whole,names=etc", "--host", "app1", "--time", when)
        store.restic("backup", ".", *tags, cwd=store.data)
    assert store.once() == 0
    # The run of today in the template is one of before, which names no parts.
    assert not any(name.startswith("dropped") for name in store.metrics())
    store.restic("backup", ".", "--tag", "record,whole,names=etc", "--host", "app1", cwd=store.data)
    assert store.once() == 0
    found = {name: at for name, at in store.metrics().items() if name.startswith("dropped")}
    assert list(found) == ['dropped_timestamp_seconds{host="app1",part="postgresql"}']
    assert abs(time.time() - DAY - sum(found.values())) < 600, "since the first run without it"


# --- damage ---
# A pack that is short or missing is for molecule/backup_store: restic 0.14 looks for a minute.


def damage(store: Store, how: str) -> None:
    largest = max(store.packs(), key=lambda file: file.stat().st_size)
    index = next((store.folder / "index").iterdir())
    if how == "a flipped bit in the data":
        flip(largest, 1000)
    elif how == "a flipped bit in the index":
        flip(index)
    elif how == "a missing index":
        index.unlink()
    elif how == "a flipped bit in a snapshot":
        flip(next((store.folder / "snapshots").iterdir()), 20)
    else:
        raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        "a flipped bit in the data",
        "a flipped bit in the index",
        "a missing index",
        "a flipped bit in a snapshot",
    ],
)
def test_damage_is_found_and_nothing_is_taken_away(store: Store, how: str) -> None:
    store.save(40)
    damage(store, how)
    before = {file for file in store.folder.rglob("*") if "locks" not in file.parts}
    assert store.once() == 1
    assert "check" in store.told["app1"]
    metrics = store.metrics()
    assert metrics['last_check_success{host="app1"}'] == 0
    assert "last_success_timestamp_seconds" not in metrics
    assert 'last_prune_timestamp_seconds{host="app1"}' not in metrics
    after = {file for file in store.folder.rglob("*") if "locks" not in file.parts}
    assert after == before


def test_a_share_that_is_wrong_is_read_again_until_it_is_right(store: Store) -> None:
    store.save(0, part="more")
    nights = 3
    pack = max(store.packs(), key=lambda file: file.stat().st_size)
    share = int(pack.name[:2], 16) % nights + 1
    whole = pack.read_bytes()
    flip(pack, 1000)
    results = [store.once(check_nights=nights) for _ in range(nights + 2)]
    assert results == [0] * (share - 1) + [1] * (nights + 2 - share + 1)
    assert store.metrics()['last_check_success{host="app1"}'] == 0
    pack.write_bytes(whole)
    assert store.once(check_nights=nights) == 0
    assert store.metrics()['last_check_success{host="app1"}'] == 1


def test_another_password_is_told(store: Store) -> None:
    folder = Path(os.environ["CREDENTIALS_DIRECTORY"])
    (folder / "password_app1").write_text("another one")
    assert store.once() == 1
    assert "wrong password" in store.told["app1"]
    assert store.metrics()['last_check_success{host="app1"}'] == 0


# --- the destination ---


@pytest.mark.parametrize("gone", ["mount", "marker", "disk"])
def test_without_the_destination_nothing_is_touched(
    store: Store, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.once() == 0
    checked = store.metrics()['last_check_timestamp_seconds{host="app1"}']
    marker = store.options.path / MARKER
    changes: dict[str, Any] = {}
    if gone == "mount":
        changes["mount"] = store.options.path
    elif gone == "marker":
        marker.unlink()
    else:
        marker.write_text("store 2\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert store.once(**changes) == 1
    assert list(store.told) == ["destination"]
    metrics = store.metrics()
    assert metrics["mounted"] == 0
    assert "free_bytes" not in metrics
    # What was known of it is still known.
    assert metrics['last_check_timestamp_seconds{host="app1"}'] == checked
    assert metrics["last_run_timestamp_seconds"] > metrics["last_success_timestamp_seconds"]


def test_a_look_says_at_once_that_the_disk_is_gone_and_back(store: Store) -> None:
    assert store.once() == 0
    known = store.metrics()
    state = store.options.state_file.read_bytes()
    marker = store.options.path / MARKER
    marker.rename(marker.with_suffix(".away"))
    assert store_upkeep.look(store.options, ["app1"]) == 0
    gone = store.metrics()
    assert gone["mounted"] == 0
    assert gone['last_check_success{host="app1"}'] == 1
    marker.with_suffix(".away").rename(marker)
    assert store_upkeep.look(store.options, ["app1"]) == 0
    back = store.metrics()
    assert back.pop("free_bytes") > 0
    assert back == {name: value for name, value in known.items() if name != "free_bytes"}
    assert store.options.state_file.read_bytes() == state, "a look is no night's work"


def test_a_look_sees_a_backup_that_came_after_the_upkeep_had_begun(store: Store) -> None:
    assert store.once() == 0
    store.save(0, part="late")
    assert store_upkeep.look(store.options, ["app1"]) == 0
    assert 'newest_good_timestamp_seconds{host="app1",part="late"}' in store.metrics()


# --- locks ---


def test_a_look_at_one_that_takes_long_does_not_take_the_time_of_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = store.options.path.parent / "programs"
    programs.mkdir()
    real = shutil.which("restic")
    slow = f'#!/bin/sh\ncase "$2" in */app0) exec sleep 25;; esac\nexec {real} "$@"\n'
    (programs / "restic").write_text(slow)
    (programs / "restic").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(store_upkeep, "LOOK_EACH_SECONDS", 6.0)
    begun = time.monotonic()
    assert store_upkeep.look(store.options, ["app0", "app1"]) == 0
    assert time.monotonic() - begun < 20
    assert 'newest_good_timestamp_seconds{host="app1",part="etc"}' in store.metrics()


def lock(store: Store) -> Path:
    """A lock as a restic leaves it that is ended in its work."""
    process = subprocess.Popen(
        ["restic", "--no-cache", "-r", str(store.folder), "backup", "--stdin", "--tag", "part=etc"],
        env={**os.environ, "RESTIC_PASSWORD": PASSWORD},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # Written under another name first
    whole = "[0-9a-f]" * 64
    locks = store.folder / "locks"
    deadline = time.monotonic() + 30
    while not list(locks.glob(whole)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait(30)
    assert process.stdin
    process.stdin.close()
    return next(locks.glob(whole))


def test_a_lock_without_an_owner_is_taken_away(store: Store) -> None:
    left = lock(store)
    assert store.once(lock_dead_seconds=1.0) == 0
    assert not left.exists()


def test_a_lock_that_lives_on_is_waited_for_and_told(store: Store) -> None:
    left = lock(store)
    assert store.once(time_limit_seconds=7.0) == 1
    assert "a lock lives on" in store.told["app1"]
    assert left.exists()
    # Nothing was found out about the data.
    assert 'last_check_success{host="app1"}' not in store.metrics()


def test_one_that_takes_all_the_time_does_not_hold_up_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights: list[str] = []

    def check(self: Any) -> None:
        nights[-1] += f" {self._host}"
        if self._host == "app1":
            # Its backup goes on, or it is larger than can be read in a night.
            if self._waits:
                time.sleep(self._clock.left())
            raise ResticError("repository is already locked", 1)

    monkeypatch.setattr(store_upkeep.Upkeep, "_check", check)
    for name in ("look", "_forget", "_look", "_copy"):
        monkeypatch.setattr(store_upkeep.Upkeep, name, lambda _: None)
    options = replace(store.options, time_limit_seconds=1.0)
    for _ in range(2):
        nights.append("")
        told: dict[str, str] = {}
        hosts = ["app1", "app2", "app3"]
        assert store_upkeep.once(options, hosts, told.__setitem__, time.time()) == 1
        assert list(told) == ["app1"]
    assert nights == [" app1 app2 app3 app1", " app2 app3 app1 app1"]


def test_one_for_which_no_time_was_left_comes_first_the_next_night(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def check(self: Any) -> None:
        tried.append(self._host)
        time.sleep(self._clock.left())

    monkeypatch.setattr(store_upkeep.Upkeep, "_check", check)
    for name in ("look", "_forget", "_look", "_copy"):
        monkeypatch.setattr(store_upkeep.Upkeep, name, lambda _: None)
    options = replace(store.options, time_limit_seconds=0.2)
    for _ in range(3):
        told: dict[str, str] = {}
        hosts = ["app1", "app2", "app3"]
        assert store_upkeep.once(options, hosts, told.__setitem__, time.time()) == 1
        assert all("no time was left" in said for said in told.values())
    assert tried == ["app1", "app2", "app3"]


def test_a_lock_that_is_renewed_is_never_dead(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "first").touch()
    locks = Locks(tmp_path, 0.2)
    time.sleep(0.15)
    (folder / "first").rename(folder / "second")
    time.sleep(0.15)
    assert locks.take_dead_away() == 0
    assert (folder / "second").exists()
    time.sleep(0.25)
    assert locks.take_dead_away() == 1
    assert not (folder / "second").exists()


def test_another_error_is_not_waited_for(tmp_path: Path) -> None:
    tried = []

    def act() -> None:
        tried.append(1)
        raise ResticError("no such file", 1)

    with pytest.raises(ResticError, match="no such file"):
        patiently(act, Locks(tmp_path, 60), Clock(60))
    assert tried == [1]


# --- the second copy ---


def test_a_second_copy_is_made_once_and_kept_by_the_same_rule(store: Store, tmp_path: Path) -> None:
    to = Copy(str(tmp_path / "copy"))
    old = store.save(40)
    store.save(1)
    assert store.once(copy=to) == 0
    copied = tmp_path / "copy/app1"
    assert copied.is_dir()
    metrics = store.metrics()
    assert metrics['copy_last_success_timestamp_seconds{host="app1"}'] > time.time() - 60
    other = Store(replace(store.options, path=tmp_path / "copy"))
    assert {one["original"] for one in other.listed()} == {one["id"] for one in store.listed()}
    # By a clock that was ahead it was checked next year: it is checked now.
    state = json.loads(store.options.state_file.read_text())
    state["hosts"]["app1"]["copy_check_time"] = time.time() + 400 * DAY
    store.options.state_file.write_text(json.dumps(state))
    assert store.once(copy=to, keep_days=1) == 0
    state = json.loads(store.options.state_file.read_text())
    assert time.time() - 60 < state["hosts"]["app1"]["copy_check_time"] <= time.time()
    assert old not in {one["original"] for one in other.listed()}
    assert len(other.listed()) == len(store.listed())
    # Gone, it is not begun anew.
    shutil.rmtree(copied)
    assert store.once(copy=to) == 1
    assert not copied.exists()
    assert store.metrics()['last_check_success{host="app1"}'] == 1, "the first copy is well"
    assert store.once(copy=replace(to, mount=tmp_path)) == 1
    assert "is not mounted" in store.told["app1"]


# --- the beginning ---


def test_a_repository_is_made_where_there_never_was_one(template: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(template, root)
    options = of(root)
    there = begin(options, "app1", PASSWORD, "", anew=False)
    assert begin(options, "app1", PASSWORD, there, anew=False) == there
    # On record, and not there
    with pytest.raises(ResticError, match="app2 is missing"):
        begin(options, "app2", PASSWORD, "0123456789", anew=False)
    assert not (options.path / "app2").exists()
    # Another one than the one on record
    with pytest.raises(ResticError, match="another repository"):
        begin(options, "app1", PASSWORD, "0123456789", anew=False)
    # With another password
    with pytest.raises(ResticError, match="does not open"):
        begin(options, "app1", "a wrong one", there, anew=False)
    # The rest of one that was being made when the run died
    (options.path / ".new-app2/keys").mkdir(parents=True)
    made = begin(options, "app2", PASSWORD, "", anew=False)
    assert made != there
    assert not list(options.path.glob(".new-*"))
    # Anew: what was there is set aside, and the next run asks no more.
    fresh = begin(options, "app1", PASSWORD, "0123456789", anew=True)
    assert fresh not in (there, made)
    (aside,) = options.path.glob(".aside-app1-*")
    assert (aside / "config").exists()
    assert begin(options, "app1", PASSWORD, fresh, anew=True) == fresh
    assert len(list(options.path.glob(".aside-*"))) == 1


def test_a_state_that_is_torn_is_begun_with_nothing_in_mind(store: Store) -> None:
    for torn in ("{", '{"hosts": {"app1": {"parts": 7}}}'):
        store.options.state_file.write_text(torn)
        assert store.once() == 0
        assert json.loads(store.options.state_file.read_text())["hosts"]["app1"]["check_success"]


def test_the_password_is_in_no_argument_and_in_no_message(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    real = subprocess.Popen

    def seen(argv: list[str], **options: Any) -> Any:
        called.extend(argv)
        return real(argv, **options)

    monkeypatch.setattr(subprocess, "Popen", seen)
    damage(store, "a missing index")
    store.once()
    assert called
    assert PASSWORD not in " ".join([*called, *store.told.values()])
