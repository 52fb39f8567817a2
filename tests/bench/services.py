"""Starts what is measured, and what it is measured against: PostgreSQL and Waypool; see peers.py for the others."""

import contextlib
import dataclasses
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import processes


class Failed(Exception):
    """Something did not start or did not work; the text says what to do."""


@dataclasses.dataclass
class Subject:
    """A way to the server that clients take."""
    name: str
    port: int
    pid: int | None  # the proxy's first process; None where there is none
    host: str = "127.0.0.1"

    def cpu_seconds(self) -> tuple[float, float]:
        return processes.cpu_seconds(self.pid) if self.pid is not None else (0.0, 0.0)


@dataclasses.dataclass
class Cluster:
    bin_dir: Path
    version: int
    ports: list[int]
    independent: bool

    @property
    def primary_port(self) -> int:
        return self.ports[0]

    @property
    def writable_ports(self) -> list[int]:
        return self.ports if self.independent else self.ports[:1]


# What servers there are, in the sandbox program's words.
LAYOUTS = {"one server": [], "two standbys": ["--standbys", "2"], "two independent": ["--independent", "2"]}


@contextlib.contextmanager
def cluster(program: Path, layout: str, first_port: int | None) -> Iterator[Cluster]:
    """The sandbox program keeps its servers until its standard input is closed."""
    if not program.exists():
        raise Failed(f"{program} is missing; `make bench` builds it")
    command = [program, *LAYOUTS[layout],
               "--setting", "shared_buffers=512MB", "--setting", "autovacuum=off",
               "--setting", "checkpoint_timeout=1h", "--setting", "max_wal_size=4GB",
               # Each session has a server connection of its own, with every proxy that runs.
               "--setting", "max_connections=2000"]
    if first_port is not None:
        command += ["--port", str(first_port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise Failed("the PostgreSQL cluster did not start; the reason stands above")
        about = json.loads(line)
        yield Cluster(Path(about["bin_dir"]), about["version"],
                      [server["port"] for server in about["servers"]], layout == "two independent")
    finally:
        process.stdin.close()
        process.wait()


# Each client has a server connection.
SESSIONS = """
default_pool_size = 1200
max_client_conn = 2000
"""


@contextlib.contextmanager
def waypool(program: Path, ports: list[int], folder: Path, name: str = "waypool",
            plugins: str = "", top: str = SESSIONS,
            before: list[str] | None = None) -> Iterator[Subject]:
    """A proxy before the servers of these ports; `top` and `plugins` are those parts of its configuration."""
    if not program.exists():
        raise Failed(f"{program} is missing; `make bench` builds it")
    port = free_port()
    backends = "".join(f"""
[[backend]]
hostname = "127.0.0.1"
port = {backend}
sslmode = "disable"
""" for backend in ports)
    config = folder / f"{name}.toml"
    config.write_text(f"""\
port = {port}
unix_socket_directories = []
hba = ["host all all all trust"]
sr_check_user = "postgres"
log_min_messages = "warning"
{top}
{backends}
{plugins}""")
    with running(name, [*(before or []), program, "run", "-c", config], port, folder) as subject:
        yield subject


@contextlib.contextmanager
def running(name: str, command: list, port: int, folder: Path, end: signal.Signals = signal.SIGTERM,
            **options) -> Iterator[Subject]:
    """Runs a proxy until the block ends; its words go to a log that a failure quotes."""
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    try:
        wait_for_port(name, process, port, log_path)
        yield Subject(name, port, process.pid)
    finally:
        process.send_signal(end)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(name: str, process: subprocess.Popen, port: int, log_path: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    state = "is not listening" if process.poll() is None else f"ended ({process.returncode})"
    raise Failed(f"{name} {state}; its log:\n{log_path.read_text(errors='replace')[-2000:]}")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited in vain until {what}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
