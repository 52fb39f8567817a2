"""Starts what Waypool is compared with: PgBouncer, Pgpool-II, HAProxy, each with the settings
under which it is fast, on loopback TCP, without TLS and without a log of what passes."""

import contextlib
import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import processes
from services import Cluster, Failed, Subject, free_port, running

PROGRAMS = ("haproxy", "pgbouncer", "pgpool")


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise Failed(f"{name} is not installed: `tools/setup.sh bench` does it")
    return found


@contextlib.contextmanager
def haproxy(servers: Cluster, folder: Path) -> Iterator[Subject]:
    """The bare forwarder: it looks at nothing."""
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(f"""\
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen postgresql
    bind 127.0.0.1:{port}
    server primary 127.0.0.1:{servers.primary_port}
""")
    with running("haproxy", [program("haproxy"), "-db", "-f", config], port, folder) as subject:
        yield subject


@contextlib.contextmanager
def pgbouncer(servers: Cluster, folder: Path, pool_mode: str = "session", pool_size: int = 1200,
              clients: int = 2000) -> Iterator[Subject]:
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
log_connections = 0
log_disconnections = 0
log_stats = 0
""")
    # PgBouncer refuses to run as root, and its other user must get at its files.
    folder.chmod(0o755)
    config.chmod(0o644)
    users.chmod(0o644)
    options = {} if os.geteuid() else {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid,
                                       "extra_groups": []}
    with running("pgbouncer", [program("pgbouncer"), config], port, folder, **options) as subject:
        yield subject


@contextlib.contextmanager
def pgpool(servers: Cluster, folder: Path, clients: int) -> Iterator[Subject]:
    """One of its processes serves one client: enough of them, and some to spare."""
    port, pcp_port = free_port(), free_port()
    mode = "native_replication" if servers.independent else "streaming_replication"
    backends = "".join(f"""
backend_hostname{number} = '127.0.0.1'
backend_port{number} = {backend}
backend_weight{number} = 1
backend_flag{number} = 'DISALLOW_TO_FAILOVER'
""" for number, backend in enumerate(servers.ports))
    config = folder / "pgpool.conf"
    config.write_text(f"""\
backend_clustering_mode = '{mode}'
listen_addresses = '127.0.0.1'
port = {port}
pcp_port = {pcp_port}
socket_dir = '{folder}'
pcp_socket_dir = '{folder}'
pid_file_name = '{folder}/pgpool.pid'
logdir = '{folder}'
enable_pool_hba = off
num_init_children = {clients + 16}
max_pool = 1
child_life_time = 0
load_balance_mode = on
sr_check_user = 'postgres'
sr_check_period = 10
health_check_period = 0
log_min_messages = error
{backends}""")
    command = [program("pgpool"), "-n", "-f", config, "-F", folder / "pcp.conf", "-a", folder / "pool_hba.conf"]
    # At SIGTERM it would wait for its clients.
    with running("pgpool", command, port, folder, signal.SIGINT) as subject:
        yield subject


def given(words: str) -> Subject:
    """NAME=HOST:PORT, of a proxy that somebody else has started; on this machine its process is found."""
    name, _, address = words.partition("=")
    host, _, port = address.rpartition(":")
    if not (name and host and port.isdigit()):
        raise Failed(f"--peer {words}: not NAME=HOST:PORT")
    here = host in ("127.0.0.1", "localhost")
    return Subject(name, int(port), processes.listener(int(port)) if here else None, host)
