"""System Overview: all hosts in one table, then the one that was chosen."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards.look import BLUE, GREY, ORANGE, PURPLE, RED, UP, bars, graph, number
from tools.dashboards.page import TARGET, page, row
from tools.dashboards.tables import Column, table

HOSTS = 'job=~"$job"'
# A window that fits the width of the panel
WINDOW = "[$__rate_interval]"
# The same file systems, disks and interfaces as in the alerts.
DISKS = (
    'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|fuse.*",'
    'mountpoint!~"/boot/efi|/efi|/etc/(hosts|hostname|resolv[.]conf)"'
)
DEVICES = 'device=~"sd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+"'
INTERFACES = 'device!~"lo|veth.*"'

CPU_BUSY = """
100 * (1 - avg by (instance) (
  sum by (instance, cpu) (rate(node_cpu_seconds_total{%s,mode=~"idle|iowait|steal"}[5m]))
))"""
MEMORY = """
100 * sum by (instance) (node_memory_MemAvailable_bytes{%(t)s})
/ sum by (instance) (node_memory_MemTotal_bytes{%(t)s})"""
DISK_FREE = """
100 * min by (instance%(by)s) (
  node_filesystem_avail_bytes{%(t)s,%(disks)s} / node_filesystem_size_bytes{%(t)s}
)"""
DISK_LIMITS = ["filesystem_free_percent", "filesystem_free_critical_percent"]


def disk_free(targets: str, by: str = "") -> str:
    return DISK_FREE % {"t": targets, "by": by, "disks": DISKS}


def network(direction: str, targets: str, by: str) -> str:
    metric = f"node_network_{direction}_bytes_total"
    return f"8 * sum by ({by}) (rate({metric}{{{targets},{INTERFACES}}}{WINDOW}))"


FLEET = table(
    "Hosts",
    "Every host that has a node exporter, and what is worst about it. A click on a name shows "
    "that host below.",
    [
        Column("Exporter", f"max by (instance) (up{{{HOSTS}}})", values=UP),
        Column(
            "Alerts",
            # 0 and not nothing where none fires
            'count by (instance) (ALERTS{job=~".+",alertstate="firing"} and on (instance) '
            f"up{{{HOSTS}}}) or 0 * max by (instance) (up{{{HOSTS}}})",
            one_is=ORANGE,
            decimals=0,
        ),
        Column("CPU busy", CPU_BUSY % HOSTS, "percent", ["cpu_busy_percent"], decimals=0),
        Column(
            "Memory available",
            MEMORY % {"t": HOSTS},
            "percent",
            ["memory_available_percent"],
            decimals=0,
        ),
        Column("Fullest disk, free", disk_free(HOSTS), "percent", DISK_LIMITS, decimals=0),
        Column(
            "Load per core",
            f"sum by (instance) (node_load5{{{HOSTS}}}) "
            f'/ count by (instance) (node_cpu_seconds_total{{{HOSTS},mode="idle"}})',
            decimals=2,
        ),
        Column("Network in", network("receive", HOSTS, "instance"), "bps", decimals=1),
        Column("Network out", network("transmit", HOSTS, "instance"), "bps", decimals=1),
    ],
    alerts=["HostDown", "NodeExporterDown"],
    links={"instance": "/d/system-overview?var-instance=${__data.fields.instance}"},
    height=9,
)


def dashboard() -> Dashboard:
    return page(
        "system-overview",
        "System Overview",
        "Which host needs attention, and what one of them is busy with.",
        team="infrastructure",
        job="node_exporter",
        several=False,
        content=[
            row("All hosts"),
            FLEET,
            row("$instance"),
            number(
                "CPU busy",
                "Without waiting for disks and for the hypervisor, as the alert counts.",
                "percent",
                (CPU_BUSY % TARGET, "busy"),
                limits=["cpu_busy_percent"],
                decimals=0,
            ),
            number(
                "Memory available",
                "What programs can still have: free, or a cache that is given up.",
                "percent",
                (MEMORY % {"t": TARGET}, "available"),
                limits=["memory_available_percent"],
                decimals=0,
            ),
            number(
                "Fullest disk, free",
                "Of the file system that has the least space left.",
                "percent",
                (disk_free(TARGET), "free"),
                limits=DISK_LIMITS,
                decimals=0,
            ),
            number(
                "Uptime",
                "Since the kernel started.",
                "s",
                (f"time() - max by (instance) (node_boot_time_seconds{{{TARGET}}})", "up"),
                alerts=["RebootRequired"],
                decimals=1,
            ),
            graph(
                "CPU by mode",
                "What the processors do when they are not idle, on average over all of them. "
                "The line is where "
                "CpuBusy begins, which leaves iowait and steal out.",
                "percent",
                (
                    "100 * avg by (mode) "
                    f'(rate(node_cpu_seconds_total{{{TARGET},mode!="idle"}}{WINDOW}))',
                    "{{mode}}",
                ),
                limits=["cpu_busy_percent"],
                alerts=["CpuWaitsForDisk", "CpuStolen"],
                stacked=True,
                maximum=100,
                colours={
                    "user": BLUE,
                    "system": PURPLE,
                    "iowait": ORANGE,
                    "steal": RED,
                    "nice": GREY,
                },
            ),
            graph(
                "Memory",
                "All of it: what programs hold, what they can still have, and what was swapped "
                "out on top.",
                "bytes",
                (
                    f"sum(node_memory_MemTotal_bytes{{{TARGET}}}) - "
                    f"sum(node_memory_MemAvailable_bytes{{{TARGET}}})",
                    "used",
                ),
                (f"sum(node_memory_MemAvailable_bytes{{{TARGET}}})", "available"),
                (
                    f"sum(node_memory_SwapTotal_bytes{{{TARGET}}}) - "
                    f"sum(node_memory_SwapFree_bytes{{{TARGET}}})",
                    "swapped out",
                ),
                alerts=["MemoryLow", "SwapNearlyFull", "OutOfMemoryKill"],
                stacked=True,
                colours={"used": BLUE, "available": GREY, "swapped out": RED},
            ),
            graph(
                "Waiting (pressure)",
                "Share of time in which some program waited for processor, memory or disk. Near "
                "0 all is fast, whatever "
                "the load.",
                "percent",
                *(
                    (
                        "100 * "
                        f"max(rate(node_pressure_{what}_waiting_seconds_total{{{TARGET}}}{WINDOW}))",
                        name,
                    )
                    for what, name in (("cpu", "processor"), ("memory", "memory"), ("io", "disk"))
                ),
            ),
            graph(
                "Network",
                "All interfaces but loopback.",
                "bps",
                (network("receive", TARGET, "device"), "in {{device}}"),
                (network("transmit", TARGET, "device"), "out {{device}}"),
                alerts=["NetworkReceiveErrors", "NetworkTransmitErrors"],
            ),
            bars(
                "Disk space, free",
                "By mount point, fullest first.",
                "percent",
                (f"sort({disk_free(TARGET, ', mountpoint').strip()})", "{{mountpoint}}"),
                limits=DISK_LIMITS,
                alerts=["FilesystemFillingUp"],
                maximum=100,
                decimals=0,
            ),
            graph(
                "Disk space, used",
                "By mount point: how fast it grows.",
                "bytes",
                (
                    f"max by (mountpoint) (node_filesystem_size_bytes{{{TARGET},{DISKS}}} "
                    f"- node_filesystem_free_bytes{{{TARGET}}})",
                    "{{mountpoint}}",
                ),
                alerts=["FilesystemFillingUp"],
            ),
            graph(
                "Disk throughput",
                "Read from and written to each disk.",
                "Bps",
                (
                    "sum by (device) "
                    f"(rate(node_disk_read_bytes_total{{{TARGET},{DEVICES}}}{WINDOW}))",
                    "read {{device}}",
                ),
                (
                    "sum by (device) "
                    f"(rate(node_disk_written_bytes_total{{{TARGET},{DEVICES}}}{WINDOW}))",
                    "written {{device}}",
                ),
            ),
            graph(
                "Disk busy",
                "Share of time in which a disk had something to do; at 100 % requests queue.",
                "percent",
                (
                    "100 * max by (device) "
                    f"(rate(node_disk_io_time_seconds_total{{{TARGET},{DEVICES}}}{WINDOW}))",
                    "{{device}}",
                ),
                limits=["disk_busy_percent"],
                maximum=100,
            ),
        ],
    )
