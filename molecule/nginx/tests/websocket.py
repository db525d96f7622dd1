"""websocket.py NAME PATH: say hello through a websocket (RFC 6455), print status line and echo."""

import os
import socket
import ssl
import sys

name, path = sys.argv[1:]
context = ssl.create_default_context(cafile="/etc/lookout/tls/ca.pem")
plain = socket.create_connection(("127.0.0.1", 443), 10)
with context.wrap_socket(plain, server_hostname=name) as client:
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    mask = os.urandom(4)
    hello = bytes(byte ^ mask[index % 4] for index, byte in enumerate(b"hello"))
    client.sendall(bytes([129, 128 + len(hello)]) + mask + hello)
    seen = b""
    while chunk := client.recv(4096):
        seen += chunk
print(seen.split(b"\r\n")[0].decode(), seen[-5:])
