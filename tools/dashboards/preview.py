"""Draw every dashboard with real data, without Grafana: .cache/dashboards/<uid>.png.

Asks the demo's Prometheus through its gateway, another one by its URL, or that of a host of the
test bed. Panels without data are red.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.dashboards.asking import Ask, AskError, as_opened, by_host, by_url, collect, stored
from tools.dashboards.draw import draw

ROOT = Path(__file__).resolve().parents[2]
DEMO = "https://localhost:8443/prometheus"
DEMO_SECRETS = ROOT / "inventories/demo/secrets"
PICTURES = ROOT / ".cache/dashboards"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("uid", nargs="*", help="which dashboards; all of them by default")
    parser.add_argument("--minutes", type=int, default=60, help="how far to look back (60)")
    parser.add_argument("--pick", nargs="*", default=[], help="a variable's value: series=load")
    parser.add_argument("--url", default=DEMO, help=f"a Prometheus ({DEMO})")
    parser.add_argument("--user", default="demo", help="who signs in there (demo)")
    parser.add_argument("--password-file", type=Path, help="(for the demo, its own)")
    parser.add_argument("--ca-file", type=Path, help="(for the demo, its own)")
    parser.add_argument("--prometheus-host", help="a host of the test bed, such as run-default-mon")
    return parser.parse_args()


def source(said: argparse.Namespace) -> Ask:
    """Return how to ask; the demo's password goes to the demo alone."""
    if said.prometheus_host:
        return by_host(said.prometheus_host)
    password_file, authority = said.password_file, said.ca_file
    if said.url == DEMO:
        password_file, authority = DEMO_SECRETS / "demo_password", DEMO_SECRETS / "tls/ca.pem"
        if not password_file.exists():
            raise AskError("there is no demo here: `make demo` first, or name a Prometheus")
    password = password_file.read_text(encoding="utf-8").strip() if password_file else ""
    return by_url(said.url, said.user, password, authority)


def main() -> int:
    """Draw, and say what has no data."""
    said = arguments()
    try:
        ask = source(said)
        chosen = dict(one.split("=", 1) for one in said.pick)
        for dashboard in stored(said.uid):
            opened, picked = as_opened(dashboard, ask, chosen)
            file = PICTURES / f"{opened['uid']}.png"
            empty = draw(opened, collect(opened, picked, ask, said.minutes), file, said.minutes)
            print(f"{file.relative_to(ROOT)}: {', '.join(empty) or 'nothing'} without series")
    except AskError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
