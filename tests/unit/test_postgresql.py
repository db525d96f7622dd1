"""What is derived fits the machine, and what stands in the files is what was meant."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from plugins.filter.postgresql import (
    AUTOVACUUM_WORKERS,
    SESSION_MB,
    SORTS_A_SESSION,
    FilterModule,
    postgresql_at_least,
    postgresql_setting_problems,
    postgresql_tuned,
    postgresql_value,
    rounded_mb,
)

GB = 1024
MEMORY = st.integers(min_value=256, max_value=1024 * GB)
CORES = st.integers(min_value=1, max_value=256)
DISK = st.integers(min_value=1, max_value=64 * 1024 * GB)


def mb(settings: dict[str, str], name: str) -> int:
    return int(settings[name].removesuffix("MB"))


def test_a_machine_of_one_gigabyte() -> None:
    assert postgresql_tuned(957, 1, 25 * GB) == {
        "max_connections": "30",
        "shared_buffers": "240MB",
        "effective_cache_size": "720MB",
        "work_mem": "4MB",
        "maintenance_work_mem": "60MB",
        "autovacuum_work_mem": "30MB",
        "min_wal_size": "240MB",
        "max_wal_size": "960MB",
        "max_slot_wal_keep_size": "2560MB",
        "max_worker_processes": "8",
        "max_parallel_workers": "1",
        "max_parallel_workers_per_gather": "0",
        "max_parallel_maintenance_workers": "0",
    }


@given(MEMORY, CORES, DISK)
def test_all_of_it_at_once_fits_into_memory(memory: int, cores: int, disk: int) -> None:
    made = postgresql_tuned(memory, cores, disk)
    sessions = int(made["max_connections"])
    taken = mb(made, "shared_buffers") + mb(made, "maintenance_work_mem")
    taken += AUTOVACUUM_WORKERS * mb(made, "autovacuum_work_mem")
    taken += sessions * (SESSION_MB + SORTS_A_SESSION * mb(made, "work_mem"))
    # work_mem is at least 1 MB; below half a gigabyte that is more than what is left.
    assert taken <= max(rounded_mb(memory), 512)


@given(MEMORY, CORES, DISK)
def test_values_keep_their_bounds(memory: int, cores: int, disk: int) -> None:
    made = postgresql_tuned(memory, cores, disk)
    assert 64 <= mb(made, "shared_buffers") <= 16 * GB
    assert mb(made, "shared_buffers") < mb(made, "effective_cache_size")
    assert mb(made, "min_wal_size") <= mb(made, "max_wal_size") <= max(256, disk / 10)
    assert mb(made, "max_wal_size") <= mb(made, "max_slot_wal_keep_size")
    assert int(made["max_parallel_workers"]) <= int(made["max_worker_processes"])
    assert int(made["max_parallel_workers_per_gather"]) <= 4


@given(st.integers(min_value=256, max_value=512 * GB), st.integers(min_value=0, max_value=512 * GB))
def test_more_memory_is_never_less_for_the_server(memory: int, more: int) -> None:
    small, large = (postgresql_tuned(size, 4, 1000 * GB) for size in (memory, memory + more))
    for name in ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "max_wal_size"):
        assert mb(small, name) <= mb(large, name), name
    assert int(small["max_connections"]) <= int(large["max_connections"])


def test_a_new_kernel_changes_nothing() -> None:
    assert postgresql_tuned(961, 1, 25600) == postgresql_tuned(955, 1, 25600)
    assert postgresql_tuned(15990, 4, 25600) == postgresql_tuned(15900, 4, 25600)


@pytest.mark.parametrize("machine", [(255, 1, 1000), (1024, 0, 1000), (1024, 1, 0)])
def test_what_is_no_machine_is_refused(machine: tuple[int, int, int]) -> None:
    with pytest.raises(AnsibleFilterError, match="at least 256 MB, 1 core and a disk"):
        postgresql_tuned(*machine)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "on"),
        (False, "off"),
        (0, "'0'"),
        (1.1, "'1.1'"),
        ("it's", "'it''s'"),
        ("a\\b", "'a\\\\b'"),
        (["a", "b"], "'a, b'"),
        ([], "''"),
    ],
)
def test_values(value: object, written: str) -> None:
    assert postgresql_value(value) == written


@given(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])))
def test_no_text_leaves_its_quotes(text: str) -> None:
    inside = postgresql_value(text)[1:-1]
    plain = inside.replace("\\\\", "").replace("''", "")
    assert "'" not in plain
    assert "\\" not in plain


def test_settings_are_looked_at_as_such() -> None:
    own = {"port": "set postgresql_port"}
    assert postgresql_setting_problems({"work_mem": "4MB", "a.b": 1, "jit": True}, own) == []
    problems = postgresql_setting_problems(
        {"Work Mem": 1, "port": 1, "a": None, "b": {}, "c": "x\ny"}, own
    )
    assert [problem.removeprefix("postgresql_settings: ") for problem in problems] == [
        "Work Mem is no name of a setting (a-z, 0-9, _, one dot)",
        "port is the role's own: set postgresql_port",
        "a must be a text, a number, true, false or a list of texts",
        "b must be a text, a number, true, false or a list of texts",
        "c must stand on one line",
    ]


def test_filters_have_their_names() -> None:
    assert set(FilterModule().filters()) == {
        *("postgresql_tuned", "postgresql_value", "postgresql_setting_problems"),
        "postgresql_at_least",
    }


def test_a_standby_has_no_less_than_its_primary() -> None:
    own = {"max_connections": "100", "max_worker_processes": 16, "work_mem": "4MB"}
    least = {"max_connections": 200, "max_worker_processes": 8, "max_wal_senders": 10}
    assert postgresql_at_least(own, least) == {
        "max_connections": "200",
        "max_worker_processes": 16,
        "max_wal_senders": "10",
        "work_mem": "4MB",
    }
