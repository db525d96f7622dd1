"""Ask the Prometheus of this host: a list of [path below /api/v1, parameters] from a file.

Prints the list of its answers. Runs on a host, with what a monitoring host has.
"""

import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

TLS = "/etc/lookout/tls"
PROMETHEUS = "https://127.0.0.1:9090/api/v1"


def main() -> None:
    """Ask one after the other; a refusal is an answer too."""
    context = ssl.create_default_context(cafile=f"{TLS}/ca.pem")
    context.load_cert_chain(f"{TLS}/client/fullchain.pem", f"{TLS}/client/privkey.pem")
    with open(sys.argv[1], encoding="utf-8") as file:
        questions = json.load(file)
    answers = []
    for path, parameters in questions:
        url = f"{PROMETHEUS}/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            # S310: the scheme is ours
            with urllib.request.urlopen(url, timeout=30, context=context) as answer:  # noqa: S310
                answers.append(json.load(answer))
        except urllib.error.HTTPError as error:
            answers.append(json.load(error))
    json.dump(answers, sys.stdout)


main()
