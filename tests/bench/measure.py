"""Takes the figures: pgbench's throughput, a proxy's processor time and memory."""

import contextlib
import dataclasses
import os
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

from services import Cluster, Failed, Subject

CPU_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Run:
    """One run of pgbench; microseconds of the proxy's processor time per transaction."""
    subject: str
    mode: str
    round: int
    tps: float
    user_us: float | None
    system_us: float | None


@dataclasses.dataclass
class Memory:
    """Resident memory of a proxy in KiB."""
    subject: str
    at_start: int
    connections: int
    with_connections: int


class Pgbench:
    def __init__(self, cluster: Cluster, clients: int, seconds: int):
        self.cluster = cluster
        self.clients = clients
        self.seconds = seconds

    def initialise(self, scale: int) -> None:
        self.call("pgbench", self.cluster.primary_port, "-i", "-q", "-s", str(scale))
        behind = "select count(*) from pg_stat_replication where replay_lsn < pg_current_wal_lsn()"
        while self.call("psql", self.cluster.primary_port, "-XAtc", behind).strip() != "0":
            time.sleep(0.1)

    def run(self, subject: Subject, mode: str, number: int) -> Run:
        before = cpu_seconds(subject.pid)
        output = self.call("pgbench", subject.port, "-n", "-S", "-M", mode, "-j", "2",
                           "-c", str(self.clients), "-T", str(self.seconds))
        after = cpu_seconds(subject.pid)
        transactions = figure(r"transactions actually processed: (\d+)", output)
        tps = figure(r"tps = ([\d.]+)", output)
        cost = [None, None]
        if before and after:
            cost = [(late - early) * 1e6 / transactions for early, late in zip(before, after)]
        return Run(subject.name, mode, number, tps, *cost)

    def call(self, program: str, port: int, *options: str) -> str:
        command = [self.cluster.bin_dir / program, "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", *options, "postgres"]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        done = subprocess.run(command, env=plain | {"PGSSLMODE": "disable", "LC_ALL": "C"},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{program} on port {port} failed:\n{done.stderr[-2000:]}")
        return done.stdout


def figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None or float(found[1]) == 0:
        raise Failed(f"pgbench reports no {pattern!r}:\n{text}")
    return float(found[1])


def cpu_seconds(pid: int | None) -> tuple[float, float] | None:
    """A process's time in user mode and in the kernel, all threads together."""
    if pid is None:
        return None
    # The program's name, in parentheses, may hold blanks: count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) * CPU_TICK, int(fields[12]) * CPU_TICK


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def idle_memory(subject: Subject, connections: int) -> Memory:
    """Reads a proxy's memory with and without sessions that have logged in and wait."""
    at_start = resident_kib(subject.pid)
    with contextlib.ExitStack() as stack:
        count = 0
        for count in range(1, connections + 1):
            try:
                stack.enter_context(log_in(subject.port))
            except (OSError, Failed) as failure:
                print(f"{subject.name} took {count - 1} of {connections} idle connections: {failure}")
                count -= 1
                break
        return Memory(subject.name, at_start, count, resident_kib(subject.pid))


def log_in(port: int) -> socket.socket:
    """A session of the user postgres, up to ReadyForQuery."""
    client = begin_login(port)
    try:
        until_ready(client)
    except BaseException:
        client.close()
        raise
    return client


def begin_login(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 10)
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
