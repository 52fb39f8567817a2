"""The little of PostgreSQL's protocol that clients of our own need."""

import socket
import struct

from services import Failed


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", 4 + len(body)) + body


def log_in(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A session of the user postgres, up to ReadyForQuery."""
    client = begin_login(port, host)
    try:
        until_ready(client)
    except BaseException:
        client.close()
        raise
    return client


def begin_login(port: int, host: str = "127.0.0.1") -> socket.socket:
    client = socket.create_connection((host, port), 60)
    # As libpq asks for them.
    words = b"user\0postgres\0database\0postgres\0application_name\0bench\0client_encoding\0UTF8\0\0"
    client.sendall(struct.pack("!ii", 8 + len(words), 3 << 16) + words)
    return client


def until_ready(client: socket.socket) -> None:
    with client.makefile("rb") as answers:
        kind = b""
        while kind != b"Z":
            kind, length = struct.unpack("!ci", exactly(answers, 5))
            body = exactly(answers, length - 4)
            if kind == b"E":
                raise Failed(body.replace(b"\0", b" ").decode(errors="replace"))


def exactly(stream, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise Failed("the connection was closed")
    return content
