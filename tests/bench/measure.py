"""Takes the figures of pgbench's runs: throughput, a proxy's processor time and memory."""

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Callable

import processes
from services import Cluster, Failed, Subject, say


@dataclasses.dataclass
class Run:
    """One run of one load through one subject; microseconds of the proxy's processor time per transaction."""
    subject: str
    round: int
    rate: float | None  # transactions per second, or MB
    user_us: float | None = None
    system_us: float | None = None
    resident_kib: int | None = None
    more: dict = dataclasses.field(default_factory=dict)
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class Load:
    """What pgbench does."""
    clients: int
    mode: str
    options: tuple[str, ...] = ("-S",)

    @property
    def connects_anew(self) -> bool:
        return "-C" in self.options


SYNCHRONOUS = "select count(*) from pg_stat_replication where replay_lsn < pg_current_wal_lsn()"
TIDY = ("vacuum pgbench_branches", "vacuum pgbench_tellers", "truncate pgbench_history")


class Pgbench:
    def __init__(self, cluster: Cluster, seconds: int):
        self.cluster = cluster
        self.seconds = seconds

    def initialise(self, scale: int) -> None:
        """pgbench's tables, on every server that can be written to."""
        for port in self.cluster.writable_ports:
            self.call("pgbench", port, "-i", "-q", "-s", str(scale))
        while self.psql(self.cluster.primary_port, SYNCHRONOUS) != "0":
            time.sleep(0.1)

    def tidy(self) -> None:
        """What pgbench does ahead of its own loads."""
        for port in self.cluster.writable_ports:
            for statement in TIDY:
                self.psql(port, statement)

    def psql(self, port: int, statement: str) -> str:
        return self.call("psql", port, "-XAtqc", statement).strip()

    def interleaved(self, subjects: list[Subject], load: Load, rounds: int,
                    around: Callable[[Subject, Callable[[], Run]], Run] = lambda _, run: run()) -> list[Run]:
        """So many runs through each, in turn from the front and from the back: a slow
        minute of the machine hits all alike."""
        logins, runs = {}, []
        for subject in subjects:
            try:
                logins[subject.name] = self.warm_up(subject, load)
            except Failed as failure:
                runs.append(Run(subject.name, 0, None, failure=str(failure)))
        ready = [subject for subject in subjects if subject.name in logins]
        for number in range(rounds):
            for subject in ready if number % 2 == 0 else reversed(ready):
                run = around(subject, lambda: self.run(subject, load, number, logins[subject.name]))
                say(f"{load.clients} clients, {load.mode}, {number + 1}/{rounds} {subject.name}: {spoken(run)}")
                runs.append(run)
        return runs

    def warm_up(self, subject: Subject, load: Load) -> tuple[float, float]:
        """Opens the server connections; returns the processor time of so many logins."""
        if load.connects_anew:
            self.pgbench(subject, load, "-t", "3")
            return 0.0, 0.0
        self.pgbench(subject, load, "-t", "1")
        before = subject.cpu_seconds()
        self.pgbench(subject, load, "-t", "1")
        return taken(before, subject.cpu_seconds())

    def run(self, subject: Subject, load: Load, number: int, logins: tuple[float, float]) -> Run:
        try:
            before = subject.cpu_seconds()
            output = self.pgbench(subject, load, "-T", str(self.seconds))
            user, system = taken(before, subject.cpu_seconds())
            run = Run(subject.name, number, figure(r"tps = ([\d.]+)", output))
            transactions = figure(r"transactions actually processed: (\d+)", output)
        except Failed as failure:
            return Run(subject.name, number, None, failure=str(failure))
        if subject.pid is not None:
            run.user_us = max(0.0, user - logins[0]) * 1e6 / transactions
            run.system_us = max(0.0, system - logins[1]) * 1e6 / transactions
            run.resident_kib = processes.resident_kib(subject.pid)
        return run

    def pgbench(self, subject: Subject, load: Load, *options: str) -> str:
        threads = min(2, load.clients)
        return self.call("pgbench", subject.port, "-n", *load.options, "-M", load.mode, "-j", str(threads),
                         "-c", str(load.clients), *options, host=subject.host)

    def call(self, program: str, port: int, *options: str, host: str = "127.0.0.1") -> str:
        command = [self.cluster.bin_dir / program, "-h", host, "-p", str(port), "-U", "postgres", *options, "postgres"]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        done = subprocess.run(command, env=plain | {"PGSSLMODE": "disable", "LC_ALL": "C"},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{program} on port {port} failed:\n{done.stderr[-2000:]}")
        return done.stdout


def taken(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    return after[0] - before[0], after[1] - before[1]


def figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None or float(found[1]) == 0:
        raise Failed(f"pgbench reports no {pattern!r}:\n{text}")
    return float(found[1])


def spoken(run: Run) -> str:
    return f"{run.rate:,.0f}/s" if run.rate else f"failed: {run.failure}"
