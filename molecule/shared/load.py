"""load.py URL CA: four clients, a connection a request, until the standard input ends.

Prints how many requests there were, and what became of those that failed.
"""

import concurrent.futures
import ssl
import sys
import threading
import urllib.request

CLIENTS = 4
URL, CA = sys.argv[1:]
context = ssl.create_default_context(cafile=CA)
# An intermediate is enough; only Python 3.13 has it so by itself.
context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
enough = threading.Event()


def ask() -> str:
    try:
        with urllib.request.urlopen(URL, timeout=20, context=context) as answer:  # noqa: S310
            answer.read()
            return "" if answer.status == 200 else str(answer.status)
    except OSError as error:
        return repr(error)


def client(_: int) -> list[str]:
    said = []
    while not enough.is_set():
        said.append(ask())
    return said


with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
    clients = pool.map(client, range(CLIENTS))
    sys.stdin.read()
    enough.set()
    said = [one for each in clients for one in each]
failed = [one for one in said if one]
print(len(said), len(failed), *failed[:5])
