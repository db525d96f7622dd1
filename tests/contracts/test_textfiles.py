"""Each file of metrics that a role leaves for the node exporter is watched, or says why not."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITTEN = re.compile(r"register_textfile_dir \}\}/([a-z_]+)[.]prom")
ALERTS = ROOT / "roles/node_exporter/files/alerts/node_exporter.yml"
UNWATCHED = {
    "certificates": "written when certificates are issued; their end has an alert",
    "restore_drill": "written once a week; RestoreDrillStopped tells when not",
}


def test_a_file_that_stands_still_is_told() -> None:
    (pattern,) = re.findall(r'node_textfile_mtime_seconds\{.*file=~"([^"]+)"', ALERTS.read_text())
    files = [*ROOT.glob("roles/*/vars/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]
    written = {name for file in files for name in WRITTEN.findall(file.read_text())}
    assert {"backup", "backup_store", "lookout_firewall", *UNWATCHED} <= written
    watched = {name for name in written if re.fullmatch(pattern, f"/var/lib/x/{name}.prom")}
    assert watched == written - set(UNWATCHED)
