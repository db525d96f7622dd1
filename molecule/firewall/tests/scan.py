"""scan.py ADDRESS: which ports of a host give any answer, as JSON; a refusal is one too."""

import asyncio
import json
import socket
import sys

TCP = [*range(1, 1025), *range(7990, 8020), *range(9000, 9200)]
UDP = range(8001, 8004)
PATIENCE_SECONDS = 2


async def answers(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False
    return True


def echoes(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE_SECONDS / 2)
        one.connect(socket.getaddrinfo(address, port)[0][4])
        one.send(b"hello")
        try:
            return one.recv(64) == b"hello"
        except TimeoutError:
            return False


async def scan(address: str) -> list[int]:
    found = await asyncio.gather(*(answers(address, port) for port in TCP))
    return [port for port, there in zip(TCP, found, strict=True) if there]


where = sys.argv[1]
print(
    json.dumps(
        {
            "tcp": asyncio.run(scan(where)),
            "udp": [port for port in UDP if echoes(where, port)],
        }
    )
)
