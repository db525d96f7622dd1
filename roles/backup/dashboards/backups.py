"""Backups: what is saved, whether the store keeps it, and whether it can be restored."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, GREEN, ORANGE, RED, THIRD, UP, graph, number, states
from tools.dashboards.page import TARGET, page, row
from tools.dashboards.tables import Column, table

# The store and the host that drills tell of other hosts; all files of text metrics have this job.
NODES = 'job=~"$job"'
HOST = 'job=~"$job",host=~"$instance"'
HOUR, DAY = 3600, 86400
PART = "lookout_backup_part"
STORE = "lookout_backup_store"
DRILL = "lookout_restore_drill"

AGE = ["backup_age_warning_hours", "backup_age_critical_hours"]
SAVED = {"0": ("saved", GREEN)}
MOUNTED = {"1": ("mounted", GREEN), "0": ("not mounted", RED)}
CHECKED = {"1": ("whole", GREEN), "0": ("damaged", RED)}
AGES = {"0": ("fresh", GREEN), "1": ("too old", ORANGE), "2": ("far too old", RED)}
RESULTS = {"0": ("passed", GREEN), "1": ("failed", RED), "2": ("error", ORANGE)}
PASSED = {"1": ("passed", GREEN), "0": ("failed", RED)}


RESTORE = f"max by (host) ({DRILL}_restore_seconds{{{HOST}}}) / 60"
TARGET_TIME = ["restore_drill_restore_minutes"]
DATA_AGE = f"max by (host) ({DRILL}_data_age_seconds{{{HOST}}}) / {HOUR}"
LOST = ["restore_drill_data_age_hours"]
# Of the median of a week, as the alert counts
USUAL = (
    f"100 * max by (instance, part) ({PART}_bytes{{{TARGET}}}) / max by (instance, part) "
    f"(quantile_over_time(0.5, {PART}_bytes{{{TARGET}}}[1w]) > 65536)"
)


def ago(metric: str, by: str, what: str = TARGET, unit: int = 1) -> str:
    """Seconds since the moment that a metric tells, or hours, or days; the oldest of several."""
    grouped = f"min by ({by})" if by else "min"
    return f"(time() - {grouped} ({metric}_timestamp_seconds{{{what}}})) / {unit}".removesuffix(
        " / 1"
    )


def beyond(threshold: str) -> str:
    """1 for a part whose newest good backup is older than a threshold in hours."""
    saved = f"{PART}_last_success_timestamp_seconds{{{TARGET}}}"
    return (
        f"((time() - max by (job, instance, part) ({saved})) > bool on (job, instance) "
        f"group_left () 3600 * lookout:threshold:{threshold}{{{TARGET}}})"
    )


def of_host(expr: str) -> str:
    """What the store tells of a host's part, in the words of that host."""
    return f'max by (instance, part) (label_join({expr}, "instance", "", "host"))'


def since_of_host(what: str, unit: int) -> str:
    """Hours or days since a moment that the store tells of a host's part."""
    return f"(time() - {of_host(f'{STORE}_{what}_timestamp_seconds{{{HOST}}}')}) / {unit}"


def drill_result() -> str:
    """0 passed, 1 failed, 2 error."""
    failed, error = (
        f'max by (host) ({DRILL}_result{{{HOST},result="{result}"}})'
        for result in ("failed", "error")
    )
    return f"{failed} + 2 * {error}"


def dashboard() -> Dashboard:
    return page(
        "backups",
        "Backups",
        "What is saved and how old it is, whether the store keeps it, and whether it can be "
        "restored.",
        team="infrastructure",
        job="node_exporter",
        hours=14 * 24,
        content=[
            row("At a glance"),
            number(
                "Longest without a good backup",
                "Of all parts of the chosen hosts.",
                "h",
                (ago(f"{PART}_last_success", "", unit=HOUR), "longest"),
                limits=AGE,
                alerts=["BackupMissing"],
            ),
            number(
                "Parts that failed",
                "In the last run of each host.",
                "short",
                (f"sum({PART}_exit_code{{{TARGET}}} != bool 0)", "failed"),
                alerts=["BackupPartFailed"],
                one_is=RED,
                decimals=0,
            ),
            number(
                "Store",
                "Whether the disk that the repositories lie on is there.",
                "short",
                (f"min({STORE}_mounted{{{NODES}}})", "store"),
                alerts=["BackupStoreNotMounted"],
                values=MOUNTED,
            ),
            number(
                "Longest without a drill that passed",
                "Of the hosts whose backups are restored for a trial.",
                "d",
                (ago(f"{DRILL}_last_passed", "", HOST, DAY), "longest"),
                limits=["restore_drill_passed_age_days"],
                empty="none passed",
            ),
            table(
                "Hosts",
                "The last run of each. A host without figures has no backup. A click on a name "
                "shows that host alone.",
                [
                    Column("Host", f"max by (instance) (up{{{TARGET}}})", values=UP),
                    Column(
                        "Last good",
                        ago("lookout_backup_last_success", "instance", unit=HOUR),
                        "h",
                        AGE,
                        decimals=1,
                    ),
                    Column("Last try", ago("lookout_backup_last_attempt", "instance"), "s"),
                    Column(
                        "Parts that failed",
                        f"sum by (instance) ({PART}_exit_code{{{TARGET}}} != bool 0)",
                        one_is=RED,
                        decimals=0,
                    ),
                    Column(
                        "Took",
                        f"max by (instance) (lookout_backup_duration_seconds{{{TARGET}}}) / {HOUR}",
                        "h",
                        ["backup_duration_hours"],
                    ),
                    Column("Size", f"sum by (instance) ({PART}_bytes{{{TARGET}}})", "bytes"),
                    Column(
                        "New of it", f"sum by (instance) ({PART}_added_bytes{{{TARGET}}})", "bytes"
                    ),
                ],
                alerts=["BackupMissing", "BackupUnfinished"],
                links={"instance": "/d/backups?var-instance=${__data.fields.instance}"},
            ),
            table(
                "Parts",
                "The last copy of each, and what the store has of it.",
                [
                    Column(
                        "Last good",
                        ago(f"{PART}_last_success", "instance, part", unit=HOUR),
                        "h",
                        AGE,
                        decimals=1,
                    ),
                    Column(
                        "Result",
                        f"max by (instance, part) ({PART}_exit_code{{{TARGET}}})",
                        values=SAVED,
                        one_is=RED,
                        decimals=0,
                    ),
                    Column(
                        "Took",
                        f"max by (instance, part) ({PART}_duration_seconds{{{TARGET}}})",
                        "s",
                    ),
                    Column("Size", f"max by (instance, part) ({PART}_bytes{{{TARGET}}})", "bytes"),
                    Column(
                        "Of the usual", USUAL, "percent", ["backup_part_size_percent"], decimals=0
                    ),
                    Column(
                        "New of it",
                        f"max by (instance, part) ({PART}_added_bytes{{{TARGET}}})",
                        "bytes",
                    ),
                    Column(
                        "Newest at the store",
                        since_of_host("newest_good", HOUR),
                        "h",
                        ["backup_store_backup_age_hours", "backup_store_backup_age_critical_hours"],
                        decimals=1,
                    ),
                    Column("Oldest at the store", since_of_host("oldest", DAY), "d", decimals=0),
                    Column("Snapshots", of_host(f"{STORE}_snapshots{{{HOST}}}"), decimals=0),
                ],
                alerts=[
                    "BackupPartFailed",
                    "BackupStoreBackupMissing",
                    "BackupStoreRetentionNotPruning",
                ],
                keys=("instance", "part"),
                links={"instance": "/d/backups?var-instance=${__data.fields.instance}"},
                height=12,
            ),
            states(
                "Age of the newest good backup",
                "Of each part: green is fresh, orange and red are older than the alerts allow.",
                (
                    f"{beyond('backup_age_warning_hours')} + {beyond('backup_age_critical_hours')}",
                    "{{instance}} {{part}}",
                ),
                AGES,
                alerts=["BackupOld"],
            ),
            row("Size and time"),
            *(
                graph(
                    title,
                    about,
                    unit,
                    (
                        f"max by (instance, part) ({PART}_{what}{{{TARGET}}})",
                        "{{instance}} {{part}}",
                    ),
                    stacked=True,
                    width=THIRD,
                )
                for title, about, unit, what in (
                    ("Size", "Of the copies, before restic packs them.", "bytes", "bytes"),
                    ("New of it", "What a run added to the repositories.", "bytes", "added_bytes"),
                    ("Duration", "Of copy and transport.", "s", "duration_seconds"),
                )
            ),
            row("Store"),
            number(
                "Free",
                "Of the file system with the repositories.",
                "percent",
                (
                    f"100 * min({STORE}_free_bytes{{{NODES}}} / {STORE}_size_bytes{{{NODES}}})",
                    "free",
                ),
                limits=["backup_store_free_percent", "backup_store_free_critical_percent"],
                decimals=0,
            ),
            number(
                "Full in",
                "If it goes on as in the last three days.",
                "s",
                (
                    f"min({STORE}_free_bytes{{{NODES}}} "
                    f"/ -(deriv({STORE}_free_bytes{{{NODES}}}[3d]) < 0))",
                    "full in",
                ),
                alerts=["BackupStoreFillingUp"],
                empty="not filling",
                decimals=0,
            ),
            number(
                "Last upkeep",
                "Since the store last looked after its repositories.",
                "h",
                (ago(f"{STORE}_last_run", "", NODES, HOUR), "since"),
                limits=["backup_store_run_age_hours"],
                alerts=["BackupStoreUpkeepMissing"],
            ),
            number(
                "Damaged repositories",
                "Whose last check found something.",
                "short",
                (f"sum(1 - {STORE}_last_check_success{{{HOST}}})", "damaged"),
                alerts=["BackupStoreCheckFailed"],
                one_is=RED,
                decimals=0,
            ),
            graph(
                "Space",
                "Free, and what will be in two days if it goes on as in the last three.",
                "bytes",
                (f"min({STORE}_size_bytes{{{NODES}}})", "size"),
                (f"min({STORE}_free_bytes{{{NODES}}})", "free"),
                (
                    f"min(predict_linear({STORE}_free_bytes{{{NODES}}}[3d], 2 * {DAY}))",
                    "free in two days",
                ),
                alerts=["BackupStoreFillingUp", "BackupStoreAlmostFull"],
                colours={"size": BLUE, "free": GREEN, "free in two days": ORANGE},
            ),
            graph(
                "Repositories",
                "What each takes on the disk.",
                "bytes",
                (f"max by (host) ({STORE}_repository_bytes{{{HOST}}})", "{{host}}"),
                alerts=["BackupStoreRepositoryShrunk"],
                stacked=True,
            ),
            table(
                "Care of the repositories",
                "Checked: all of it is read within a week, a share each night. Pruned: what was "
                "forgotten is taken off the disk. What is damaged is neither pruned nor copied.",
                [
                    Column("Size", f"max by (host) ({STORE}_repository_bytes{{{HOST}}})", "bytes"),
                    Column(
                        "Last check",
                        f"min by (host) ({STORE}_last_check_success{{{HOST}}})",
                        values=CHECKED,
                    ),
                    *(
                        Column(
                            name,
                            ago(f"{STORE}_{what}", "host", HOST, HOUR),
                            "h",
                            [limit],
                            decimals=1,
                        )
                        for name, what, limit in (
                            ("Checked", "last_check", "backup_store_check_age_hours"),
                            ("Pruned", "last_prune", "backup_store_prune_age_hours"),
                            ("Second copy", "copy_last_success", "backup_store_copy_age_hours"),
                        )
                    ),
                ],
                alerts=["BackupStoreCheckFailed"],
                keys=("host",),
            ),
            row("Drills"),
            table(
                "Drills",
                "The last one of each host. `failed` is a bad backup, `error` a drill that could "
                "not judge.",
                [
                    Column("Result", drill_result(), values=RESULTS),
                    Column(
                        "Last run",
                        ago(f"{DRILL}_last_run", "host", HOST, DAY),
                        "d",
                        ["restore_drill_run_age_days"],
                        decimals=1,
                    ),
                    Column(
                        "Last passed",
                        ago(f"{DRILL}_last_passed", "host", HOST, DAY),
                        "d",
                        ["restore_drill_passed_age_days"],
                        decimals=1,
                    ),
                    Column("Time to restore", RESTORE, "m", TARGET_TIME, decimals=1),
                    Column("Age of the data", DATA_AGE, "h", LOST, decimals=1),
                ],
                alerts=["RestoreDrillFailed", "RestoreDrillError", "RestoreDrillMissing"],
                keys=("host",),
                links={"host": "/d/backups?var-instance=${__data.fields.host}"},
            ),
            states(
                "Results",
                "Of the drills over time.",
                (drill_result(), "{{host}}"),
                RESULTS,
                alerts=["RestoreDrillFailed", "RestoreDrillError"],
            ),
            graph(
                "Time to restore",
                "Of a host, against what it may take.",
                "m",
                (RESTORE, "{{host}}"),
                limits=TARGET_TIME,
                width=THIRD,
            ),
            graph(
                "Time to restore by part",
                "Where that time goes.",
                "s",
                (
                    f"max by (host, part) ({DRILL}_part_restore_seconds{{{HOST}}})",
                    "{{host}} {{part}}",
                ),
                width=THIRD,
            ),
            graph(
                "Age of the restored data",
                "How much would have been lost at the moment of the drill.",
                "h",
                (DATA_AGE, "{{host}}"),
                limits=LOST,
                width=THIRD,
            ),
            states(
                "Parts in the drills",
                "Which part passed, over time.",
                (
                    f"min by (host, part) ({DRILL}_part_passed{{{HOST}}})",
                    "{{host}} {{part}}",
                ),
                PASSED,
            ),
        ],
    )
