#!/usr/bin/python
"""Ask a running service whether it does what it should; every answer is kept, none ends the run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: a list of checks against running services
description:
  - Runs each check until it holds or their time is up, and returns one row a check. It never fails
    itself, so that one run shows everything that is wrong; the caller decides.
options:
  checks:
    description:
      - Each check has a C(name) and one of C(url) (answers 2xx; with C(contains), the body holds
        that text), C(argv) (ends with 0; with C(contains), prints that text) or C(promql) with
        C(server) (returns no series; with C(some) set, at least one). C(refuses) is a URL which
        has to turn away who shows no client certificate. Where a service turns this host away
        because it has none, C(url) without C(contains) holds, as the service proved who it is.
    type: list
    elements: dict
    required: true
  tls:
    description:
      - Files for C(https) addresses, as the variable C(register_tls) names them, C(ca) to check the
        service's certificate, C(certificate) and C(key) to show where the host has them.
    type: dict
    suboptions:
      ca: {description: CA certificates., type: path, required: true}
      certificate: {description: Client certificate., type: path, required: true}
      key: {description: Its key., type: path, required: true}
  within_seconds:
    description: How long the checks may take until they hold, all at the same time.
    type: int
    default: 30
author: Lookout
"""

EXAMPLES = r"""
- name: Ask Prometheus
  probe:
    checks:
      - {name: answers, url: "http://127.0.0.1:9090/-/ready"}
      - {name: every target is up, promql: "up == 0", server: "http://127.0.0.1:9090"}
"""

RETURN = r"""
rows:
  description: One row a check, with C(name), C(ok) and C(detail).
  returned: always
  type: list
  elements: dict
"""

import http.client
import json
import subprocess
import time
import urllib.parse
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lookout_http import TLS_OPTIONS, CertificateRequiredError, fetch

# Whatever a server or a program answers, it is a check that does not hold and no more than that.
FAILURES = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    http.client.HTTPException,
    subprocess.TimeoutExpired,
)


ANSWER_SECONDS = 10
Tls = dict[str, str] | None


def ask_url(check: dict[str, Any], tls: Tls) -> tuple[bool, str]:
    wanted = check.get("contains", "")
    try:
        body = fetch(check["url"], tls, ANSWER_SECONDS)
    except CertificateRequiredError:
        if wanted:
            raise
        return True, f"{check['url']} is there, and refuses this host"
    return wanted in body, check["url"] if wanted in body else f"no {wanted!r} in {check['url']}"


def ask_as_stranger(check: dict[str, Any], tls: Tls) -> tuple[bool, str]:
    """Come without a certificate, whether or not this host has one."""
    try:
        fetch(check["refuses"], {**(tls or {}), "certificate": "", "key": ""}, ANSWER_SECONDS)
    except CertificateRequiredError:
        return True, check["refuses"]
    return False, f"{check['refuses']} answers whoever comes"


def ask_command(check: dict[str, Any]) -> tuple[bool, str]:
    argv = [str(word) for word in check["argv"]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    said = (done.stdout or done.stderr).strip().splitlines() or [""]
    good = done.returncode == 0 and check.get("contains", "") in done.stdout
    return good, said[0] if good else f"status {done.returncode}: {said[-1]}"


def ask_prometheus(check: dict[str, Any], tls: Tls) -> tuple[bool, str]:
    query = urllib.parse.urlencode({"query": check["promql"]})
    answer = fetch(f"{check['server']}/api/v1/query?{query}", tls, ANSWER_SECONDS)
    found = json.loads(answer)["data"]["result"]
    labels = [" ".join(f"{k}={v}" for k, v in sorted(series["metric"].items())) for series in found]
    some = bool(check.get("some"))
    detail = f"{len(found)} series" + (f": {'; '.join(labels[:5])}" if labels and not some else "")
    return bool(found) == some, detail


def ask(check: dict[str, Any], tls: Tls = None) -> tuple[bool, str]:
    """One attempt at one check: whether it holds, and what to show for it."""
    try:
        if "url" in check:
            return ask_url(check, tls)
        if "refuses" in check:
            return ask_as_stranger(check, tls)
        if "promql" in check:
            return ask_prometheus(check, tls)
        return ask_command(check)
    except FAILURES as error:
        return False, str(error) or type(error).__name__


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "checks": {"type": "list", "elements": "dict", "required": True},
            "within_seconds": {"type": "int", "default": 30},
            "tls": {"type": "dict", "options": TLS_OPTIONS},
        },
        supports_check_mode=True,
    )
    checks, tls = module.params["checks"], module.params["tls"]
    deadline = time.monotonic() + module.params["within_seconds"]
    answers = [ask(check, tls) for check in checks]
    while not all(good for good, _ in answers) and time.monotonic() < deadline:
        time.sleep(1)
        answers = [
            answer if answer[0] else ask(check, tls)
            for check, answer in zip(checks, answers, strict=True)
        ]
    rows = [
        {"name": check["name"], "ok": good, "detail": detail}
        for check, (good, detail) in zip(checks, answers, strict=True)
    ]
    module.exit_json(changed=False, rows=rows)


if __name__ == "__main__":
    main()
