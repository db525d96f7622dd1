"""Ask as a program of the site does: ask.py URL CA ends with 0 where every project's DSN is taken.

Each gets an envelope with nothing in it, which leaves no event. The CA is trusted beside the public
ones; the keys come from the file that the projects were made of.
"""

import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

PROJECTS = Path(__file__).parent / "secrets/projects.json"
TIMEOUT_SECONDS = 10


def main() -> int:
    """The number of DSNs that are refused."""
    url, ca = sys.argv[1:]
    context = ssl.create_default_context()
    context.load_verify_locations(ca)
    refused = 0
    for project in json.loads(PROJECTS.read_text(encoding="utf-8")):
        # S310: the address is the gateway's, which the role writes.
        request = urllib.request.Request(  # noqa: S310
            f"{url}/api/{project['id']}/envelope/",
            b"{}\n",
            {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={project['key']}"},
        )
        try:
            urllib.request.urlopen(  # noqa: S310
                request, timeout=TIMEOUT_SECONDS, context=context
            ).close()
        except (urllib.error.URLError, OSError) as error:
            print(f"{project['name']}: {error}", file=sys.stderr)
            refused += 1
    return refused


if __name__ == "__main__":
    sys.exit(main())
