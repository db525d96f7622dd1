"""load.py URL CA COUNT: so many requests, a connection each, four at a time; how many failed."""

import concurrent.futures
import ssl
import sys
import urllib.request

URL, CA, COUNT = sys.argv[1:]
context = ssl.create_default_context(cafile=CA)


def ask(_: int) -> str:
    try:
        with urllib.request.urlopen(URL, timeout=20, context=context) as answer:  # noqa: S310
            answer.read()
            return "" if answer.status == 200 else str(answer.status)
    except OSError as error:
        return repr(error)


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    failed = [wrong for wrong in pool.map(ask, range(int(COUNT))) if wrong]
print(len(failed), *failed[:5])
