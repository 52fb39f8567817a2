"""Large results and large inputs: what of the server's speed is left behind a proxy.

The client is as light as can be: it reads and throws away, or writes what it has
made beforehand. So it is the proxy that is seen, and not psql.
"""

import dataclasses
import socket
import time

import processes
import wire
from measure import Pgbench, Run, taken
from services import Failed, Subject, say

MB = 1_000_000
ROWS = 100_000
# COPY's text form of a row is this long, so that all of them are 100 MB.
ROW_BYTES = 1_000
READY = b"Z\0\0\0\5I"
# Of two columns; an error is longer.
COPY_IN_RESPONSE = 1 + 4 + 1 + 2 + 2 * 2


@dataclasses.dataclass(frozen=True)
class Flow:
    title: str
    query: str
    inwards: bool = False


FLOWS = [
    Flow("a query of 100,000 rows", f"select * from pgbench_accounts limit {ROWS}"),
    Flow("COPY TO STDOUT of 100 MB", "copy bulk to stdout"),
    Flow("COPY FROM STDIN of 100 MB", "copy bulk_in from stdin", inwards=True),
]


def prepare(pgbench: Pgbench) -> None:
    """The tables; nothing of them is written to disk ahead of time."""
    width = ROW_BYTES - 8  # behind a number of six digits, a tab; and a newline
    for statement in (
        "drop table if exists bulk, bulk_in",
        f"create unlogged table bulk as select 100000 + i as id, repeat('x', {width}) as filler"
        f" from generate_series(0, {ROWS - 1}) i",
        "create unlogged table bulk_in (like bulk)",
        "vacuum analyze bulk",
    ):
        pgbench.psql(pgbench.cluster.primary_port, statement)


def interleaved(pgbench: Pgbench, subjects: list[Subject], flow: Flow, rounds: int) -> list[Run]:
    data = copy_data() if flow.inwards else b""
    runs = []
    for subject in subjects:
        passed(subject, flow, data)
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            runs.append(run(pgbench, subject, flow, data, number))
            say(f"{flow.title}, {number + 1}/{rounds} {subject.name}: {runs[-1].rate:,.0f} MB/s")
    return runs


def copy_data() -> bytes:
    """100 MB as CopyData messages of 64 rows, with CopyDone behind them."""
    row = b"%06d\t" + b"x" * (ROW_BYTES - 8) + b"\n"
    messages = []
    for first in range(0, ROWS, 64):
        rows = b"".join(row % (100_000 + number) for number in range(first, min(first + 64, ROWS)))
        messages.append(wire.message(b"d", rows))
    return b"".join(messages) + wire.message(b"c", b"")


def run(pgbench: Pgbench, subject: Subject, flow: Flow, data: bytes, number: int) -> Run:
    """As often as fits into the time of a run; the rate is the median's."""
    growth = processes.Growth(subject.pid) if subject.pid is not None else None
    before, end = subject.cpu_seconds(), time.monotonic() + pgbench.seconds
    size, seconds = 0, []
    while not seconds or time.monotonic() < end:
        if flow.inwards:
            pgbench.psql(pgbench.cluster.primary_port, "truncate bulk_in")
        size, took = passed(subject, flow, data)
        seconds.append(took)
    user, system = taken(before, subject.cpu_seconds())
    done = Run(subject.name, number, size / MB / sorted(seconds)[len(seconds) // 2])
    if growth is not None:
        megabytes = size / MB * len(seconds)
        done.user_us, done.system_us = user * 1e6 / megabytes, system * 1e6 / megabytes
        done.resident_kib = processes.resident_kib(subject.pid)
        done.more["grown KiB"] = growth.kib()
    return done


def passed(subject: Subject, flow: Flow, data: bytes) -> tuple[int, float]:
    """How many bytes went through in how many seconds."""
    with wire.log_in(subject.port, subject.host) as client:
        begin = time.perf_counter()
        client.sendall(wire.message(b"Q", flow.query.encode() + b"\0"))
        if flow.inwards:
            wire.exactly(client.makefile("rb"), COPY_IN_RESPONSE)
            client.sendall(data)
        received = until_ready(client)
        return max(received, len(data)), time.perf_counter() - begin


def until_ready(client: socket.socket) -> int:
    """Only the first message and the end are looked at."""
    buffer = bytearray(1 << 20)
    view, size, tail = memoryview(buffer), 0, b""
    while tail != READY:
        count = client.recv_into(buffer)
        if count == 0:
            raise Failed("the connection was closed")
        if size == 0 and view[:1] == b"E":
            raise Failed(bytes(view[:count]).replace(b"\0", b" ").decode(errors="replace"))
        size += count
        tail = (tail + bytes(view[max(0, count - len(READY)):count]))[-len(READY):]
    return size
