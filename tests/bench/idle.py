#!/usr/bin/env python3
"""Measures what an idle client costs a proxy in resident memory, in pool_mode transaction.

Thousands of clients log in and wait, and wait again after each has run a few
statements of either protocol; the proxy's resident memory is read at each of these
points. Waypool and, if it is installed, PgBouncer, both with 20 server connections.
"""

import argparse
import contextlib
import dataclasses
import resource
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
import measure  # noqa: E402
import services  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SERVERS = 20
# Logins at the same time.
TOGETHER = 50

TRANSACTION = """
pool_mode = "transaction"
default_pool_size = {servers}
max_client_conn = {clients}
"""


@dataclasses.dataclass
class Figures:
    """Resident memory in KiB, and what of it is each client's."""
    subject: str
    clients: int
    at_start: int
    idle: int
    after_queries: int
    named: int

    def row(self) -> str:
        each = (f"{(figure - self.at_start) / self.clients:.1f} KiB"
                for figure in (self.idle, self.after_queries, self.named))
        return f"| {self.subject} | {self.clients:,} | {self.at_start / 1024:.1f} MiB | {' | '.join(each)} |"


HEAD = """\
| proxy | clients | memory at start | each, idle | each, after queries | each, with a named statement |
|---|---:|---:|---:|---:|---:|"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--waypool", type=Path, nargs="*", default=[ROOT / "target/release/waypool"],
                        help="one program, or several to be compared")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    if most_files < args.clients + 200:
        raise services.Failed(f"ulimit -n {most_files} is too low for {args.clients} clients")

    with services.cluster(ROOT / "target/release/waypool-sandbox", 0) as cluster:
        print(HEAD, flush=True)
        for number, program in enumerate(args.waypool):
            name = "waypool" if len(args.waypool) == 1 else str(program)
            with tempfile.TemporaryDirectory(prefix="waypool-idle-") as folder:
                top = TRANSACTION.format(servers=SERVERS, clients=args.clients + 10)
                started = services.waypool(program, cluster.ports, Path(folder), f"waypool-{number}", top=top)
                report(name, started, args.clients)
        with tempfile.TemporaryDirectory(prefix="waypool-idle-") as folder:
            started = services.pgbouncer(cluster, Path(folder), "transaction", SERVERS, args.clients + 10)
            report("pgbouncer", started, args.clients)


def report(name: str, started: contextlib.AbstractContextManager, clients: int) -> None:
    with started as subject:
        if subject is not None:
            print(figures(name, subject, clients).row(), flush=True)


def figures(name: str, subject: services.Subject, count: int) -> Figures:
    # What is made at the first use is nobody's own.
    with measure.log_in(subject.port) as first:
        run(first, queries())
        run(first, named())
    at_start = settled(subject.pid)
    with contextlib.ExitStack() as stack:
        clients = log_in_all(subject.port, count, stack)
        idle = settled(subject.pid)
        for client in clients:
            run(client, queries())
        after_queries = settled(subject.pid)
        for client in clients:
            run(client, named())
        return Figures(name, count, at_start, idle, after_queries, settled(subject.pid))


def log_in_all(port: int, count: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Some at a time, as after a restart."""
    clients = []
    while len(clients) < count:
        some = min(TOGETHER, count - len(clients))
        begun = [stack.enter_context(measure.begin_login(port)) for _ in range(some)]
        for client in begun:
            measure.until_ready(client)
        clients += begun
    return clients


def settled(pid: int) -> int:
    """Allocators give back what is free a moment later."""
    time.sleep(2)
    return measure.resident_kib(pid)


# === what each client runs ===

def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", 4 + len(body)) + body


def execute(statement: bytes) -> bytes:
    """Bind, Describe, Execute and Sync of a prepared statement without parameters."""
    return (message(b"B", b"\0" + statement + b"\0" + bytes(6)) + message(b"D", b"P\0")
            + message(b"E", bytes(5)) + message(b"S", b""))


def queries() -> list[bytes]:
    """Simple and extended protocol, alone and in a transaction."""
    texts = [b"SELECT 1", b"BEGIN", b"SELECT count(*) FROM pg_class", b"COMMIT"]
    unnamed = message(b"P", b"\0SELECT 2\0\0\0") + execute(b"")
    return [message(b"Q", text + b"\0") for text in texts] + [unnamed]


def named() -> list[bytes]:
    return [message(b"P", b"S_1\0SELECT relname FROM pg_class LIMIT 1\0\0\0") + execute(b"S_1")]


def run(client: socket.socket, conversation: list[bytes]) -> None:
    for messages in conversation:
        client.sendall(messages)
        measure.until_ready(client)


if __name__ == "__main__":
    try:
        main()
    except services.Failed as failure:
        sys.exit(f"idle: {failure}")
