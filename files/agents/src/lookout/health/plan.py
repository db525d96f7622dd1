"""From the configuration to checks that can run."""

from __future__ import annotations

import time
from collections.abc import Iterator

from lookout.health import certificates, disks, endpoints, systemd
from lookout.health.config import Certificate, Checks, Disk, Endpoint, HealthOptions
from lookout.health.endpoints import Tls
from lookout.health.results import Check, Result

# What a check says itself is clearer than that its time was up.
_MARGIN_SECONDS = 0.5


def _disk(disk: Disk) -> Check:
    path = str(disk.path)

    def judge() -> tuple[Result, ...]:
        usage = disks.read(disk.path, disk.limit_seconds)
        return disks.judge(
            disk.path, usage, disk.used_percent, disk.inodes_used_percent, disk.alert
        )

    subjects = (Result("disk", path, alert=disk.alert), Result("inodes", path, alert=disk.alert))
    return Check(subjects, disk.limit_seconds + _MARGIN_SECONDS, judge)


def _systemd(checks: Checks, limit_seconds: float) -> Check:
    schedules = [systemd.Schedule(timer.name, timer.max_age_hours) for timer in checks.timers]

    def judge() -> tuple[Result, ...]:
        return systemd.judge(
            checks.units, schedules, lambda units: systemd.show(units, limit_seconds), time.time()
        )

    subjects = [Result("unit", unit) for unit in checks.units]
    subjects += [Result("timer", schedule.name) for schedule in schedules]
    return Check(tuple(subjects), 2 * limit_seconds + _MARGIN_SECONDS, judge)


def _endpoint(endpoint: Endpoint, tls: Tls) -> Check:
    subject = Result("endpoint", endpoint.name or endpoint.url, alert=endpoint.alert)

    def judge() -> tuple[Result, ...]:
        answer = endpoints.fetch(
            endpoint.url, lambda: tls.context(endpoint.trust), endpoint.limit_seconds
        )
        problem = endpoints.problem(answer, endpoint.statuses, endpoint.contains)
        seen = f"{answer.status} in {answer.seconds:.3f} s"
        return (Result(subject.check, subject.name, problem, seen, subject.alert),)

    return Check((subject,), endpoint.limit_seconds + _MARGIN_SECONDS, judge)


def _certificate(certificate: Certificate, tls: Tls) -> Check:
    subject = Result("certificate", certificate.name, alert=certificate.alert)

    def judge() -> tuple[Result, ...]:
        if certificate.path is not None:
            end = certificates.of_file(certificate.path)
        else:
            host, port = certificate.host_and_port
            end = certificates.of_server(
                host,
                port,
                certificate.server_name,
                tls.context("site", verify=False),
                certificate.limit_seconds,
            )
        return certificates.judge(
            subject.name, end, time.time(), certificate.days, certificate.alert
        )

    return Check((subject,), certificate.limit_seconds + _MARGIN_SECONDS, judge)


def _every(checks: Checks, config: HealthOptions) -> Iterator[Check]:
    yield from (_disk(disk) for disk in checks.disks)
    if checks.units or checks.timers:
        yield _systemd(checks, config.systemctl_limit_seconds)
    yield from (_endpoint(endpoint, config.tls) for endpoint in checks.endpoints)
    yield from (_certificate(certificate, config.tls) for certificate in checks.certificates)


def plan(checks: Checks, config: HealthOptions) -> list[Check]:
    """The checks to run. One whose subjects are all skipped is not run; `keep` does the rest."""
    return [
        check
        for check in _every(checks, config)
        if any(subject.key not in config.skip for subject in check.subjects)
    ]


def keep(results: tuple[Result, ...], config: HealthOptions) -> list[Result]:
    """The results without those that are to be skipped."""
    return [result for result in results if result.key not in config.skip]
