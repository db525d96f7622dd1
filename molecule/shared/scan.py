"""scan.py ADDRESS TCP UDP: which ports of a host give any answer, as JSON; a refusal is one too.

Ports are ranges such as 1-1024,8000-8010. A UDP port has to send back what it gets. The kernel
shakes hands by itself, so that a scan on a busy machine takes longer and finds the same.
"""

import errno
import json
import select
import socket
import sys
import time

AT_ONCE = 8000
# A lost first packet is sent again after a second.
PATIENCE_SECONDS = 2.5
PENDING = (0, errno.EINPROGRESS)
ANSWERS = (0, errno.ECONNREFUSED)


def ports(text: str) -> list[int]:
    ranges = [part.split("-") for part in text.split(",") if part]
    return [port for ends in ranges for port in range(int(ends[0]), int(ends[-1]) + 1)]


def answering(address: str, some: list[int]) -> list[int]:
    """Those of the TCP ports, not too many, that accept or refuse."""
    poll, tried, found = select.poll(), {}, []
    for port in some:
        family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setblocking(False)
        tried[one.fileno()] = (port, one)
        begun = one.connect_ex(where)
        if begun in PENDING:
            poll.register(one, select.POLLOUT)
        elif begun in ANSWERS:
            found.append(port)
        else:
            raise OSError(begun, f"port {port}")
    time.sleep(PATIENCE_SECONDS)
    for number, _ in poll.poll(0):
        port, one = tried[number]
        ended = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if ended not in ANSWERS:
            raise OSError(ended, f"port {port}")
        found.append(port)
    for _, one in tried.values():
        one.close()
    return sorted(found)


def echoes(address: str, port: int) -> bool:
    family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE_SECONDS)
        one.connect(where)
        one.send(b"hello")
        try:
            return one.recv(64) == b"hello"
        except TimeoutError:
            return False


target, tcp, udp = sys.argv[1], ports(sys.argv[2]), ports(sys.argv[3])
batches = [tcp[first : first + AT_ONCE] for first in range(0, len(tcp), AT_ONCE)]
once = [port for batch in batches for port in answering(target, batch)]
print(
    json.dumps(
        {
            # Again: where the target has just asked this host, one of these packets may pass for
            # the answer to that. It does not happen twice.
            "tcp": answering(target, once),
            "udp": [port for port in udp if echoes(target, port)],
        }
    )
)
