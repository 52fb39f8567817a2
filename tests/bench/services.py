"""Starts what is measured: a PostgreSQL cluster, Waypool, PgBouncer."""

import contextlib
import dataclasses
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class Failed(Exception):
    """Something did not start or did not work; the text says what to do."""


@dataclasses.dataclass
class Subject:
    """A way to the server that pgbench takes."""
    name: str
    port: int
    pid: int | None  # the proxy's process; None where there is none


@dataclasses.dataclass
class Cluster:
    bin_dir: Path
    version: int
    ports: list[int]

    @property
    def primary_port(self) -> int:
        return self.ports[0]


@contextlib.contextmanager
def cluster(program: Path, standbys: int) -> Iterator[Cluster]:
    """The sandbox program keeps its servers until its standard input is closed."""
    if not program.exists():
        raise Failed(f"{program} is missing; `make bench` builds it")
    command = [program, "--standbys", str(standbys),
               "--setting", "shared_buffers=512MB", "--setting", "autovacuum=off",
               # Each idle session has a server connection of its own.
               "--setting", "max_connections=1300"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise Failed("the PostgreSQL cluster did not start; the reason stands above")
        about = json.loads(line)
        yield Cluster(Path(about["bin_dir"]), about["version"],
                      [server["port"] for server in about["servers"]])
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
            before: list[str] | None = None) -> Iterator[Subject | None]:
    """A proxy before the servers of these ports; `top` and `plugins` are those parts of its configuration."""
    if not program.exists():
        print(f"Waypool left out: {program} is not built", file=sys.stderr)
        yield None
        return
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
{top}
{backends}
{plugins}""")
    with running(name, [*(before or []), program, "run", "-c", config], port, folder) as subject:
        yield subject


@contextlib.contextmanager
def pgbouncer(servers: Cluster, folder: Path, pool_mode: str = "session", pool_size: int = 1200,
              clients: int = 2000) -> Iterator[Subject | None]:
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        print("PgBouncer left out: not installed (`tools/setup.sh bench`)", file=sys.stderr)
        yield None
        return
    port = free_port()
    users = folder / "users.txt"
    users.write_text('"postgres" ""\n')
    config = folder / "pgbouncer.ini"
    config.write_text(f"""\
[databases]
* = host=127.0.0.1 port={servers.primary_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {pool_mode}
default_pool_size = {pool_size}
max_client_conn = {clients}
server_tls_sslmode = disable
""")
    # PgBouncer refuses to run as root, and its other user must get at its files.
    folder.chmod(0o755)
    config.chmod(0o644)
    users.chmod(0o644)
    options = {} if os.geteuid() else {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid,
                                       "extra_groups": []}
    with running("pgbouncer", [program, config], port, folder, **options) as subject:
        yield subject


@contextlib.contextmanager
def running(name: str, command: list, port: int, folder: Path, **options) -> Iterator[Subject]:
    """Runs a proxy until the block ends; its words go to a log that a failure quotes."""
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    try:
        wait_for_port(name, process, port, log_path)
        yield Subject(name, port, process.pid)
    finally:
        process.terminate()
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
