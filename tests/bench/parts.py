"""What is measured, part by part. Each part takes servers of one layout and yields its
groups of runs as soon as they are complete."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import bulk
import chain
import idle
import measure
import peers
import services
from measure import Load
from results import Group
from services import Cluster, Subject

MODES = ["simple", "extended", "prepared"]


@dataclasses.dataclass
class Bench:
    """What all parts share."""
    cluster: Cluster
    pgbench: measure.Pgbench
    waypools: dict[str, Path]  # programs by name
    peers: list[Subject]
    plugins: Path
    rounds: int
    clients: list[int]
    modes: list[str]
    idle: int

    def group(self, part: str, load: Load, subjects: list[Subject], what: str = "", **around) -> Group:
        runs = self.pgbench.interleaved(subjects, load, self.rounds, **around)
        return self.named(part, what or f"{load.clients} client{'s' * (load.clients > 1)}, {load.mode}", runs, load.clients, load.mode)

    def named(self, part: str, what: str, runs: list, clients: int = 1, mode: str = "") -> Group:
        return Group(part, what, runs, clients, mode, self.rounds, self.pgbench.seconds)


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    layout: str
    measure: Callable[[Bench], Iterator[Group]]


@contextlib.contextmanager
def all_ways(bench: Bench, clients: int) -> Iterator[list[Subject]]:
    """A direct connection, everybody else's proxy, and Waypool."""
    with folder() as place, contextlib.ExitStack() as stack:
        direct = Subject("direct", bench.cluster.primary_port, pid=None)
        others = [peers.haproxy(bench.cluster, place), peers.pgbouncer(bench.cluster, place),
                  peers.pgpool(bench.cluster, place, clients)]
        started = [stack.enter_context(start) for start in others + waypools(bench, place)]
        yield [direct, *bench.peers, *started]


def waypools(bench: Bench, place: Path, **options) -> list:
    return [services.waypool(program, bench.cluster.ports, place, name, **options)
            for name, program in bench.waypools.items()]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="waypool-bench-") as place:
        yield Path(place)


# === the parts ===

def select(bench: Bench) -> Iterator[Group]:
    for clients in bench.clients:
        with all_ways(bench, clients) as subjects:
            for mode in bench.modes:
                yield bench.group("select", Load(clients, mode), subjects)


def tpcb(bench: Bench) -> Iterator[Group]:
    with all_ways(bench, 16) as subjects:
        for mode in bench.modes:
            yield bench.group("tpcb", Load(16, mode, ("-b", "tpcb-like")), subjects,
                              around=lambda _, run: tidied(bench, run))


def tidied(bench: Bench, run: Callable[[], measure.Run]) -> measure.Run:
    """What one run leaves behind would slow down the next."""
    bench.pgbench.tidy()
    return run()


def churn(bench: Bench) -> Iterator[Group]:
    with all_ways(bench, 16) as subjects:
        yield bench.group("churn", Load(16, "simple", ("-S", "-C")), subjects)


def in_bulk(bench: Bench) -> Iterator[Group]:
    with all_ways(bench, 1) as subjects:
        bulk.prepare(bench.pgbench)
        for flow in bulk.FLOWS:
            runs = bulk.interleaved(bench.pgbench, subjects, flow, bench.rounds)
            yield bench.named("bulk", flow.title, runs)


# More clients than server connections, in transaction mode.
SERVER_CONNECTIONS = 20
SHARED = """
pool_mode = "transaction"
default_pool_size = {pool_size}
max_client_conn = 2000
"""


def transaction(bench: Bench) -> Iterator[Group]:
    for clients in [count for count in bench.clients if count in (16, 64)]:
        for mode in bench.modes:
            with shared_ways(bench, mode) as subjects:
                yield bench.group("transaction", Load(clients, mode), subjects)


@contextlib.contextmanager
def shared_ways(bench: Bench, mode: str) -> Iterator[list[Subject]]:
    with folder() as place, contextlib.ExitStack() as stack:
        direct = Subject("direct", bench.cluster.primary_port, pid=None)
        # PgBouncer shares no connection between clients that prepare statements before 1.21.
        if mode == "prepared":
            other = ("pgbouncer, session", peers.pgbouncer(bench.cluster, place))
        else:
            other = ("pgbouncer", peers.pgbouncer(bench.cluster, place, "transaction", SERVER_CONNECTIONS))
        started = dataclasses.replace(stack.enter_context(other[1]), name=other[0])
        ours = waypools(bench, place, top=SHARED.format(pool_size=SERVER_CONNECTIONS))
        yield [direct, started, *(stack.enter_context(start) for start in ours)]


# Reads alone, and with one write in ten.
SPLIT = {"reads": ("-S",), "reads and writes 9 to 1": ("-b", "select-only@9", "-b", "simple-update@1")}


def split(bench: Bench) -> Iterator[Group]:
    with all_ways(bench, 16) as subjects:
        for mode in bench.modes:
            for what, options in SPLIT.items():
                yield bench.group("split", Load(16, mode, options), subjects, f"{what}, {mode}",
                                  around=lambda _, run: with_share(bench, run))


def with_share(bench: Bench, run: Callable[[], measure.Run]) -> measure.Run:
    """Notes what part of the transactions the standbys had."""
    before = transactions(bench)
    done = tidied(bench, run)
    had = [late - early for early, late in zip(before, transactions(bench))]
    done.more["on standbys"] = sum(had[1:]) / max(1, sum(had))
    return done


def transactions(bench: Bench) -> list[int]:
    question = "select xact_commit from pg_stat_database where datname = 'postgres'"
    return [int(bench.pgbench.psql(port, question)) for port in bench.cluster.ports]


REPLICATED = """
backend_clustering_mode = "native_replication"
work_dir = "{place}/{name}"
default_pool_size = 1200
max_client_conn = 2000
"""
TWO_PHASE = """
commit_mode = "two_phase"
two_phase_log_directory = "{place}/{name}/two_phase"
"""


def replication(bench: Bench) -> Iterator[Group]:
    """TPC-B on two servers that the proxy keeps equal."""
    with folder() as place, contextlib.ExitStack() as stack:
        starts = [peers.pgpool(bench.cluster, place, 16)]
        for name, program in bench.waypools.items():
            for kind, top in ((name, REPLICATED), (f"{name}, two_phase", REPLICATED + TWO_PHASE)):
                (place / kind).mkdir()
                starts.append(services.waypool(program, bench.cluster.ports, place, kind,
                                               top=top.format(place=place, name=kind)))
        proxies = [stack.enter_context(start) for start in starts]
        for mode in bench.modes:
            yield bench.group("replication", Load(16, mode, ("-b", "tpcb-like")), proxies,
                              around=lambda _, run: with_equality(bench, run))


CONTENT = """select count(*), sum(delta), sum(aid::bigint * delta), (select sum(abalance) from pgbench_accounts),
    (select sum(bid * bbalance) from pgbench_branches), (select sum(tid * tbalance) from pgbench_tellers)
    from pgbench_history"""


def with_equality(bench: Bench, run: Callable[[], measure.Run]) -> measure.Run:
    done = tidied(bench, run)
    done.more["equal"] = len({bench.pgbench.psql(port, CONTENT) for port in bench.cluster.ports}) == 1
    return done


def waiting(bench: Bench) -> Iterator[Group]:
    with folder() as place:
        runs = []
        for name, program in bench.waypools.items():
            top = SHARED.format(pool_size=SERVER_CONNECTIONS).replace("2000", str(bench.idle + 100))
            runs.append(idle.run(bench.pgbench, bench.idle,
                                 services.waypool(program, bench.cluster.ports, place, name, top=top)))
        runs.append(idle.run(bench.pgbench, bench.idle,
                             peers.pgbouncer(bench.cluster, place, "transaction", SERVER_CONNECTIONS, bench.idle + 100)))
        yield bench.named("idle", "idle", runs, bench.idle)


def plugins(bench: Bench) -> Iterator[Group]:
    for name, program in bench.waypools.items():
        suffix = "" if len(bench.waypools) == 1 else f", {name}"
        yield Group("inside", f"inside{suffix}", [], text=chain.host_figures(program))
        with folder() as place, chain.ways(program, bench.plugins, bench.cluster, place) as subjects:
            runs = bench.pgbench.interleaved(subjects, Load(16, chain.MODE), 3 * bench.rounds)
            yield bench.named("plugins", f"plugins{suffix}", runs, 16, chain.MODE)
        with folder() as place:
            runs = chain.swaps(program, bench.plugins, bench.pgbench, place, bench.rounds)
            yield bench.named("swap", f"swap{suffix}", runs, 16, chain.MODE)


PARTS = [
    Part("select", "one server", select),
    Part("tpcb", "one server", tpcb),
    Part("churn", "one server", churn),
    Part("bulk", "one server", in_bulk),
    Part("transaction", "one server", transaction),
    Part("idle", "one server", waiting),
    Part("plugins", "one server", plugins),
    Part("split", "two standbys", split),
    Part("replication", "two independent", replication),
]
