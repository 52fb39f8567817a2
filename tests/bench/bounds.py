"""What is asked of Waypool's speed, and whether the figures show it."""

import statistics
from collections.abc import Iterator

from results import Group

Line = tuple[str, str, str, bool]


def table(groups: list[Group]) -> str:
    lines = ["### What is asked, and what was measured", "", "| what | asked | measured | held |", "|---|---|---:|---|"]
    for find in (processor_time, throughput, latency, bulk, churn, idle, replication):
        for group in groups:
            lines += [f"| {what} | {asked} | {measured} | {verdict(group, held)} |"
                      for what, asked, measured, held in find([group])]
    return "\n".join(lines)


def verdict(group: Group, held: bool) -> str:
    """Where not even the direct connection was steady, the others' figures say little."""
    rates = [run.rate for run in group.of(group.subjects[0])]
    if group.part in STEADY and max(rates) > NOISY * min(rates):
        return "too noisy to tell"
    return "yes" if held else "**no**"


# Parts whose first subject is a direct connection.
STEADY = ("select", "transaction", "bulk", "churn")
NOISY = 1.5


# === figures ===

def ratio(group: Group, subject: str, base: str) -> float | None:
    """The median of the rounds' ratios."""
    rates = {run.round: run.rate for run in group.of(base)}
    found = [run.rate / rates[run.round] for run in group.of(subject) if run.round in rates]
    return statistics.median(found) if found else None


def cpu(group: Group, subject: str, base: str) -> float | None:
    """The same of processor time."""
    times = {run.round: run.user_us + run.system_us for run in group.of(base)}
    found = [(run.user_us + run.system_us) / times[run.round] for run in group.of(subject) if times.get(run.round)]
    return statistics.median(found) if found else None


def added_latency(group: Group, subject: str) -> float | None:
    """Microseconds a transaction takes longer than over a direct connection."""
    direct = {run.round: run.rate for run in group.of("direct")}
    found = [1e6 / run.rate - 1e6 / direct[run.round] for run in group.of(subject) if run.round in direct]
    return statistics.median(found) if found else None


def at_least(what: str, bound: float, figure: float | None) -> Iterator[Line]:
    if figure is not None:
        yield what, f"≥ {bound}", f"{figure:.2f}", figure >= bound


def at_most(what: str, bound: float, figure: float | None, unit: str = "") -> Iterator[Line]:
    if figure is not None:
        yield what, f"≤ {bound}{unit}", f"{figure:.2f}{unit}", figure <= bound


def of_part(groups: list[Group], part: str) -> list[Group]:
    return [group for group in groups if group.part == part]


# === bounds ===

def processor_time(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "select"):
        if group.clients in (16, 64):
            yield from at_most(f"CPU × PgBouncer's, {group.load}", 1.0, cpu(group, "waypool", "pgbouncer"))
            yield from at_most(f"CPU × Pgpool-II's, {group.load}", 0.5, cpu(group, "waypool", "pgpool"))
            user = [run.user_us for run in group.of("waypool")]
            yield from at_most(f"CPU in user mode, {group.load}", 3, statistics.median(user) if user else None, " µs")


def throughput(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "select"):
        if group.clients == 16:
            yield from at_least(f"throughput × PgBouncer's, {group.load}", 1.0, ratio(group, "waypool", "pgbouncer"))
            yield from at_least(f"throughput × Pgpool-II's, {group.load}", 1.5, ratio(group, "waypool", "pgpool"))
            yield from at_least(f"throughput × HAProxy's, {group.load}", 0.9, ratio(group, "waypool", "haproxy"))
    for group in of_part(groups, "transaction"):
        if group.mode == "prepared":
            what = f"transaction mode × PgBouncer in session mode, {group.load}"
            yield from at_least(what, 1.0, ratio(group, "waypool", "pgbouncer, session"))


def latency(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "select"):
        ours, forwarder = added_latency(group, "waypool"), added_latency(group, "haproxy")
        if group.clients == 1 and ours and forwarder:
            yield from at_most(f"added latency × HAProxy's, {group.load}", 1.15, ours / forwarder)


def bulk(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "bulk"):
        yield from at_least(f"{group.load}, × HAProxy's", 0.95, ratio(group, "waypool", "haproxy"))


def churn(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "churn"):
        yield from at_least("connection churn × PgBouncer's", 1.3, ratio(group, "waypool", "pgbouncer"))


def idle(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "idle"):
        for run in group.of("waypool"):
            each = (run.more["after queries"] - run.more["at start"]) / group.clients
            yield from at_most(f"memory of each of {group.clients:,} idle clients", 4, each, " KiB")


def replication(groups: list[Group]) -> Iterator[Line]:
    for group in of_part(groups, "replication"):
        yield from at_least(f"native replication, TPC-B × Pgpool-II's, {group.mode}", 1.0, ratio(group, "waypool", "pgpool"))
