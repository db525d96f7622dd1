"""Which profiles belong to a browser that lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookout.watchdog import profiles

SLEEP = "import time; time.sleep(30)"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.conf"
    file.write_text(f"# browsers\nd /run/x 0755 root root -\ne {tmp_path}/rust_moz* - - - 24h\n")
    return file


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    made = tmp_path / "rust_mozprofileAb1"
    made.mkdir()
    return made


@pytest.fixture
def browser(request: pytest.FixtureRequest, profile: Path) -> Iterator[None]:
    argv, folder = {
        "named": ([SLEEP, "-profile", str(profile)], "/"),
        "named with a key": ([SLEEP, f"--user-data-dir={profile}"], "/"),
        "below": ([SLEEP, f"{profile}/prefs.js"], "/"),
        "worked in": ([SLEEP], str(profile)),
    }[request.param]
    with subprocess.Popen([sys.executable, "-c", *argv], cwd=folder) as child:
        time.sleep(0.2)
        yield
        child.kill()


def run(rules: Path) -> str:
    written = rules.with_name("live") / "live.conf"
    assert profiles.main(["--rules", str(rules), "--write", str(written)]) == 0
    return written.read_text()


@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize(
    "browser", ["named", "named with a key", "below", "worked in"], indirect=True
)
def test_a_profile_in_use_is_spared(rules: Path, profile: Path) -> None:
    (profile.with_name("rust_mozprofileAb")).mkdir()
    lines = run(rules).splitlines()[1:]
    assert lines == [f"x {profile}", f"x {profile}/*", f"x {profile}/.*"]


def test_so_is_one_with_an_open_file(rules: Path, profile: Path) -> None:
    code = "import time; f = open('.parentlock', 'w'); import os; os.chdir('/'); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=profile) as child:
        while not (profile / ".parentlock").exists():
            time.sleep(0.05)
        time.sleep(0.1)
        assert f"x {profile}/*" in run(rules)
        child.kill()
    assert "x " not in run(rules)


def test_a_link_is_no_profile(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "rust_mozlink").symlink_to("elsewhere")
    assert profiles.folders(profiles.patterns(rules.read_text())) == {}


def test_names_that_mean_something_to_tmpfiles_spare_too_much() -> None:
    assert profiles.spare(["/t/rust_moz *%b\n"]).splitlines()[1:] == [
        "x /t/rust_moz???b?" + end for end in ("", "/*", "/.*")
    ]


def test_empty_folders_go_once_they_are_old(rules: Path, profile: Path, tmp_path: Path) -> None:
    full = tmp_path / "rust_mozprofileFull"
    full.mkdir()
    (full / "prefs.js").touch()
    young = tmp_path / "rust_mozprofileYoung"
    young.mkdir()
    for old in (profile, full):
        os.utime(old, (1, time.time() - 3700))
    run(rules)
    assert not profile.exists()
    assert full.exists()
    assert young.exists()


def test_a_command_line_of_slashes_costs_nothing() -> None:
    began = time.monotonic()
    for text in ("/" * 131_072, "/" * 4096, "/x=" * 1365, "/rust_moz" * 455):
        assert len(list(profiles.paths_to({"rust_mozprofileAb1"}, text))) == 0
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("text", ["/t/p", "/t/p/x", "--dir=/t/p", "a:/t/p:b", "-d/t/p/x/p"])
def test_paths_are_found_in_a_text(text: str) -> None:
    assert list(profiles.paths_to({"p"}, text)) == ["/t/p"]


@pytest.mark.parametrize("text", ["/t/p2", "p", "x/t", "/t/p" + "/" * 4096])
def test_other_texts_lead_nowhere(text: str) -> None:
    assert list(profiles.paths_to({"p"}, text)) == []


def test_a_process_with_endless_arguments_is_read_in_part(profile: Path) -> None:
    words = ["x" * 100_000, "y" * 100_000, str(profile)]
    with subprocess.Popen([sys.executable, "-c", SLEEP, *words]) as child:
        time.sleep(0.2)
        texts = list(profiles._mentions(Path(f"/proc/{child.pid}")))
        child.kill()
    assert sum(map(len, texts)) < profiles.COMMAND_BYTES + 4096
    assert str(profile) not in texts


def test_no_link_on_the_way_leads_elsewhere(tmp_path: Path) -> None:
    """As /tmp/systemd-private-evil/tmp, which anybody may make."""
    outside = tmp_path / "outside" / "rust_mozprofile"
    outside.mkdir(parents=True)
    os.utime(outside, (1, 1))
    private = tmp_path / "private-evil"
    private.mkdir()
    (private / "tmp").symlink_to(outside.parent)
    through = private / "tmp" / outside.name
    assert profiles.folders([f"{tmp_path}/private-*/tmp/rust_moz*"]) == {}
    assert profiles.remove_empty([str(through)], time.time()) == []
    assert outside.exists()
    assert profiles.remove_empty([str(outside)], time.time()) == [str(outside)]
