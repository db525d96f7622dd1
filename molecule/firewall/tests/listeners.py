"""Something to find at some ports: each TCP port takes connections, each UDP port echoes."""

import select
import socket

TCP = range(8001, 8008)
UDP = range(8001, 8004)


def listener(kind: socket.SocketKind, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6, kind)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        found.listen(50)
    return found


sockets = [listener(socket.SOCK_STREAM, port) for port in TCP]
sockets += [listener(socket.SOCK_DGRAM, port) for port in UDP]
while True:
    for ready in select.select(sockets, [], [])[0]:
        if ready.type == socket.SOCK_STREAM:
            ready.accept()[0].close()
        else:
            ready.sendto(*ready.recvfrom(64))
