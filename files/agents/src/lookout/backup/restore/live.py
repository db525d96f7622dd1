"""Whether what is live after a restore is what the copy says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lookout.backup.parts import Part
from lookout.backup.restore import fetch
from lookout.backup.sources import Facts, Source, SourceError, prometheus, victoriametrics
from lookout.backup.sources.prometheus_api import Api

# Sources whose live data can be read while nothing of the part runs. A database server is asked by
# its own source, which has read each restored table before it lets the names change.
_AT_REST = ("files", "sqlite")
# Until a Prometheus that was started has read its blocks
_READY_SECONDS = 120.0
_ASK_SECONDS = 60.0


def differences(sources: Sequence[Source], copy: Path) -> Iterator[str]:
    """Where the live data is not what was copied there, while nobody has written to it yet."""
    again = copy.with_name(f".{copy.name}.again")
    for source in sources:
        if source.name in _AT_REST:
            fetch.forget(again)
            saved, scratch = again / source.name, again / "scratch"
            for folder in (saved, scratch):
                folder.mkdir(mode=0o700, parents=True)
            source.save(saved)
            for problem in source.judge(saved, source.describe(copy / source.name), scratch):
                yield f"{source.name} in its place: {problem}"
    fetch.forget(again)


def answers(part: Part, facts: Mapping[str, Facts]) -> Iterator[str]:
    """Where a service that runs again answers otherwise than it did when it was saved."""
    one, two = part.prometheus, part.victoriametrics
    if one and prometheus.PrometheusSource.name in facts:
        api = Api(one.url, one.certificate, one.key, one.ca, _ASK_SECONDS)
        problem = _not_ready(api, "/-/ready")
        known = facts[prometheus.PrometheusSource.name]
        yield from (
            [f"Prometheus is not ready: {problem}"] if problem else prometheus.answers(api, known)
        )
    if two and victoriametrics.VictoriametricsSource.name in facts:
        api = Api(two.url, timeout_seconds=_ASK_SECONDS)
        problem = _not_ready(api, "/health")
        known = facts[victoriametrics.VictoriametricsSource.name]
        yield from (
            [f"VictoriaMetrics is not ready: {problem}"]
            if problem
            else victoriametrics.answers(api, known)
        )


def _not_ready(api: Api, path: str) -> str:
    """Wait until it answers; what is wrong where it does not come to that."""
    until = time.monotonic() + _READY_SECONDS
    while True:
        try:
            api.get(path)
        except SourceError as error:
            if time.monotonic() > until:
                return str(error)
            time.sleep(1)
        else:
            return ""
