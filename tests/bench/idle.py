"""What a client that waits costs a proxy: resident memory, and the speed of those that do not wait.

Thousands of clients log in and wait, and wait again after each has run a few
statements of either protocol; the proxy's resident memory is read at each of these
points. In the end pgbench runs beside them, as it did before they came.
"""

import contextlib
import socket
import time

import processes
import wire
from measure import Load, Pgbench, Run
from services import Failed, Subject, say

# Logins at the same time.
TOGETHER = 50
# PgBouncer before 1.21 has no prepared statements in transaction mode.
BESIDE = Load(16, "extended")


def run(pgbench: Pgbench, count: int, start: contextlib.AbstractContextManager) -> Run:
    with start as subject:
        try:
            done = figures(pgbench, subject, count)
        except (Failed, OSError) as failure:
            done = Run(subject.name, 0, None, failure=str(failure))
    say(f"{count} idle clients, {subject.name}: {done.more or done.failure}")
    return done


def figures(pgbench: Pgbench, subject: Subject, count: int) -> Run:
    [alone] = pgbench.interleaved([subject], BESIDE, 1)
    # What is made at the first use is nobody's own.
    with wire.log_in(subject.port) as first:
        converse(first, queries())
    memory = {"at start": settled(subject)}
    with contextlib.ExitStack() as stack:
        clients = log_in_all(subject, count, stack)
        memory["idle"] = settled(subject)
        for client in clients:
            converse(client, queries())
        memory["after queries"] = settled(subject)
        [beside] = pgbench.interleaved([subject], BESIDE, 1)
    return Run(subject.name, 0, beside.rate, beside.user_us, beside.system_us, memory["after queries"],
               memory | {"alone": alone.rate}, beside.failure or alone.failure)


def log_in_all(subject: Subject, count: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Some at a time, as after a restart."""
    clients = []
    while len(clients) < count:
        some = min(TOGETHER, count - len(clients))
        begun = [stack.enter_context(wire.begin_login(subject.port)) for _ in range(some)]
        for client in begun:
            wire.until_ready(client)
        clients += begun
    return clients


def settled(subject: Subject) -> int:
    """Allocators give back what is free a moment later."""
    time.sleep(2)
    return processes.resident_kib(subject.pid)


# === what each client runs ===

def execute(statement: bytes) -> bytes:
    """Bind, Describe, Execute and Sync of a prepared statement without parameters."""
    return (wire.message(b"B", b"\0" + statement + b"\0" + bytes(6)) + wire.message(b"D", b"P\0")
            + wire.message(b"E", bytes(5)) + wire.message(b"S", b""))


def queries() -> list[bytes]:
    """Simple and extended protocol, alone and in a transaction."""
    texts = [b"SELECT 1", b"BEGIN", b"SELECT count(*) FROM pg_class", b"COMMIT"]
    unnamed = wire.message(b"P", b"\0SELECT 2\0\0\0") + execute(b"")
    return [wire.message(b"Q", text + b"\0") for text in texts] + [unnamed]


def converse(client: socket.socket, conversation: list[bytes]) -> None:
    for messages in conversation:
        client.sendall(messages)
        wire.until_ready(client)
