"""The configuration and what roles registered: each mistake with its path, and the rest goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lookout.health import plan, registered
from lookout.health.config import Certificate, Checks, Disk, HealthOptions, Timer
from lookout.kit.config import ConfigError, parse

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KEYS = st.sampled_from(
    [*("disks", "units", "timers", "endpoints", "certificates", "path", "name", "url", "days"),
     *("statuses", "contains", "trust", "limit_seconds", "address", "server_name", "other")]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=3) | st.dictionaries(KEYS, of, max_size=4)
)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as found:
        parse(Checks, text, "shop.yml")
    return found.value.problems


@given(st.dictionaries(KEYS, ANYTHING, max_size=4))
def test_whatever_the_file_says_is_taken_or_refused_with_its_name(data: dict[str, object]) -> None:
    checks, wrong = Checks(), []
    try:
        checks = parse(Checks, yaml.safe_dump(data), "shop.yml")
    except ConfigError as error:
        wrong = error.problems or ["none was named"]
    assert all(problem.startswith("shop.yml: ") for problem in wrong)
    # What was taken can be planned, and has a name for every verdict.
    for check in plan.plan(checks, HealthOptions()):
        assert all(subject.name for subject in check.subjects)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("disks: [{path: srv}]", "disks[0].path must be an absolute path, got 'srv'"),
        ("disks: [{path: /, used_percent: 101}]",
         "disks[0].used_percent must be at most 100, got 101.0"),
        ("units: [nginx]", "units[0] 'nginx' is no name of a unit, such as nginx.service"),
        ("units: ['a*.service']",
         "units[0] 'a*.service' is no name of a unit, such as nginx.service"),
        ("timers: [{name: a.service}]",
         "timers[0].name 'a.service' is no name of a timer, such as certbot.timer"),
        ("endpoints: [{url: 'app1:8443'}]",
         "endpoints[0].url 'app1:8443' is no address such as https://app1:8443/health"),
        ("endpoints: [{url: 'http://app1:x/'}]",
         "endpoints[0].url 'http://app1:x/' is no address such as https://app1:8443/health"),
        ("endpoints: [{url: 'https://me:secret@app1/'}]",
         "endpoints[0].url a password in an address stands in logs; "
         "ask an address that needs none"),
        ("endpoints: [{url: 'https://app1/', statuses: []}]",
         "endpoints[0].statuses name one status at least"),
        ("certificates: [{days: 3}]",
         "certificates[0].path name a path or an address, one of the two"),
        ("certificates: [{address: app1}]", "certificates[0].address 'app1' is no host:port"),
        ("unit: [a.service]", "unit is not known here: did you mean units?"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_path(text: str, problem: str) -> None:
    assert problems(text) == [f"shop.yml: {problem}"]


def test_a_wrong_configuration_does_not_show_the_password_of_an_address() -> None:
    assert "secret" not in "".join(problems("endpoints: [{url: 'https://me:secret@app1/'}]"))


def test_addresses_are_taken_apart() -> None:
    assert Certificate(address="[::1]:443").host_and_port == ("::1", 443)
    assert Certificate(address="a:1", server_name="b").name == "a:1/b"


def test_a_bad_file_is_a_verdict_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("units: [a.service]")
    (tmp_path / "b.yml").write_text("units: [")
    (tmp_path / "c.yml").write_bytes(b"\xff")
    (tmp_path / "d.txt").write_text("no list of checks")
    (tmp_path / "e.yml").mkdir()
    found, verdicts = registered.read(tmp_path)
    assert found == [Checks(units=("a.service",))]
    said = {Path(verdict.name).name: verdict.problem for verdict in verdicts}
    assert said["a.yml"] == ""
    assert said["b.yml"].startswith("b.yml: line 1, column ")
    assert said["b.yml"].endswith("run site.yml for this host, or delete the file")
    assert "cannot be read" in said["c.yml"]
    assert "Is a directory" in said["e.yml"]
    assert set(said) == {"a.yml", "b.yml", "c.yml", "e.yml"}
    assert registered.read(tmp_path / "gone") == ([], [])


def test_what_stands_twice_counts_as_the_operator_says_it() -> None:
    own = Checks(disks=(Disk(Path("/"), used_percent=50),), timers=(Timer("a.timer", 1),))
    role = Checks(
        disks=(Disk(Path("/")), Disk(Path("/srv"))),
        units=("a.service", "a.service"),
        timers=(Timer("a.timer"),),
    )
    joined = registered.join([own, role])
    assert joined.disks == (own.disks[0], role.disks[1])
    assert joined.units == ("a.service",)
    assert joined.timers == own.timers


def test_what_is_skipped_is_not_judged() -> None:
    checks = Checks(disks=(Disk(Path("/")), Disk(Path("/srv"))), units=("a.service",))
    config = HealthOptions(skip=("disk//srv", "inodes//srv", "unit/a.service"))
    planned = plan.plan(checks, config)
    assert [subject.key for check in planned for subject in check.subjects] == [
        "disk//",
        "inodes//",
    ]
    with pytest.raises(ConfigError, match="is no check"):
        parse(HealthOptions, "skip: [nginx]", "health.yml")
