"""A program that asks the API through the gateway again and again, over connections that it keeps.

    many.py REQUESTS CONNECTIONS PATH TOKEN_FILE

Each request has the token that is in the file at that moment. Prints how many answers of which
status there were for each token, by its first letters.
"""

import collections
import http.client
import json
import ssl
import sys
import threading
import time
from pathlib import Path

REQUESTS, CONNECTIONS, PATH, TOKEN = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
MOST_SECONDS = 240
ANSWERS = collections.Counter()
LOCK = threading.Lock()


def ask(count, deadline, context):
    """One connection; it is made anew where the gateway ends it, as it does after a thousand."""
    connection = http.client.HTTPSConnection("localhost", timeout=30, context=context)
    for _ in range(count):
        if time.monotonic() > deadline:
            return
        token = Path(TOKEN).read_text(encoding="ascii").strip()
        try:
            connection.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            said = answer.status
        except (OSError, http.client.HTTPException) as error:
            said = type(error).__name__
            connection.close()
        with LOCK:
            ANSWERS[f"{token[:12]} {said}"] += 1


def main():
    context = ssl.create_default_context(cafile="/etc/lookout/tls/ca.pem")
    began = time.monotonic()
    asked = (REQUESTS // CONNECTIONS, began + MOST_SECONDS, context)
    threads = [threading.Thread(target=ask, args=asked) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump({"answers": ANSWERS, "seconds": round(time.monotonic() - began, 1)}, sys.stdout)


main()
