"""Sites of one host, made for a test and gone after it."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_site import TESTBED, Site
from grafana import repository

# NET_ADMIN for the firewall; where Grafana's package comes from
OPTIONS = ["--cap-add", "NET_ADMIN", "--volume", f"{repository.CACHE}:/srv/grafana:O"]
HOSTS = json.dumps([{"name": "mon", "options": OPTIONS, "prometheus": True}])


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Make a fresh site as often as it is called; all of them are gone afterwards."""
    made: list[str] = []

    def make() -> Site:
        run_id = f"{os.environ.get('LOOKOUT_RUN', 'faults')}-{uuid.uuid4().hex[:6]}"
        made.append(run_id)
        about = repository.ensure()
        subprocess.run([*TESTBED, "up", run_id], input=HOSTS, text=True, check=True)
        inventory = tmp_path / f"{run_id}.json"
        variables = {
            "ansible_connection": "podman",
            "ansible_host": f"{run_id}-mon",
            "alertmanager_unreached_teams_allowed": True,
            "nginx_users": {
                "alice": "$2y$08$PnsdkiDi3FItSUFxHhoY1.AaxBJ5xmGfpPoFsOx9wFR2.HG0Ux62e"
            },
            "tls_authority_passphrase": "{{ lookup('secret', 'tls_authority_passphrase') }}",
            "grafana_repository_url": "file:/srv/grafana/repository",
            "grafana_repository_key_url": "file:/srv/grafana/repository/key.asc",
            "grafana_repository_key_fingerprints": [about["fingerprint"]],
        }
        names = ("monitoring", "grafana", "gateway")
        groups = {name: {"hosts": {"mon": variables}} for name in names}
        inventory.write_text(json.dumps(groups), "utf-8")
        return Site(run_id, inventory)

    yield make
    subprocess.run([*TESTBED, "down", *made], check=True)
