"""Turns the figures into Markdown."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import bounds
import chain
import peers
from measure import Run
from results import Group

BEGIN = "<!-- make bench: what stands here is its report -->"
END = "<!-- make bench: the end of its report -->"

# What each part is, in the order of the report; {} is what the groups have in common.
TITLES = {
    "select": ("pgbench -S", "One statement a transaction; each client has a server connection (session mode)."),
    "transaction": ("Sharing connections", "pgbench -S with pool_mode transaction, 20 server connections. PgBouncer 1.18 "
                    "has no prepared statements in that mode: there it is in session mode, with a connection for each client."),
    "tpcb": ("TPC-B", "pgbench's TPC-B, 16 clients, fsync off."),
    "churn": ("Connection churn", "pgbench -S -C with 16 clients: each transaction logs in first, without a password."),
    "bulk": ("Bulk", "One client that does no more than read or write its socket; CPU in µs per MB. Grown: how far "
             "the proxy's memory rose above what it was."),
    "split": ("Reads and writes, two standbys", "16 clients. Direct, HAProxy and PgBouncer use the primary alone; "
              "Pgpool-II and Waypool read from all three servers. All share the machine: it is the cost that is seen, not the gain. On "
              "standbys: of the transactions, as the servers count them, a moment late."),
    "replication": ("Native replication", "pgbench's TPC-B, 16 clients, on two independent servers, fsync off. "
                    "Equal: the servers' tables were, after each run."),
    "plugins": ("With and without plugins", "pgbench -S -M prepared with 16 clients, everything on the primary."),
    "swap": ("While plugins are exchanged", "pgbench -S -M prepared with 16 clients; a swap's time has the start of "
             "the program that orders it in it."),
}


MODES = ["", "simple", "extended", "prepared"]


def render(groups: list[Group]) -> str:
    # Loads that were measured one by one stand in order.
    groups = sorted(groups, key=lambda group: (group.clients, MODES.index(group.mode)))
    sections = [machine(groups), bounds.table(groups)]
    for part, (title, about) in TITLES.items():
        of_part = [group for group in groups if group.part == part]
        if of_part:
            sections.append(f"### {title}\n\n{about} {conditions(of_part)}\n\n{table(part, of_part)}")
        if part == "select":
            sections += latency(of_part)
    sections += [idle(group) for group in groups if group.part == "idle"]
    sections += [f"### Inside Waypool\n\n`waypool bench` ({group.when}, {group.revision}):\n\n{group.text}"
                 for group in groups if group.part == "inside"]
    return "\n\n".join(sections) + "\n"


def keep(page: Path, text: str) -> None:
    """Puts the report between its marks."""
    content = page.read_text()
    before, _, rest = content.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"bench: {page} lacks the lines between which the report stands: {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


# === what was measured on what ===

def machine(groups: list[Group]) -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1] if model else platform.machine()
    days = sorted({group.when.split()[0] for group in groups})
    revisions = ", ".join(dict.fromkeys(group.revision for group in groups))
    return (f"{' to '.join(dict.fromkeys((days[0], days[-1])))}, {os.cpu_count()} cores ({name}), Linux {platform.release()}; "
            f"Waypool {revisions}; {', '.join(versions())}. Medians; spread is from the slowest to the fastest "
            "round. Ratios are medians of the rounds' own ratios. CPU is the proxy's own, all its threads and processes, in µs per "
            "transaction, without what its logins cost. Memory is resident, after the load.")


def versions() -> list[str]:
    flags = {"haproxy": "-v", "pgbouncer": "--version", "pgpool": "--version"}
    found = []
    for name in peers.PROGRAMS:
        answer = subprocess.run([peers.program(name), flags[name]], capture_output=True, text=True)
        number = re.search(r"\d+\.\d+(\.\d+)*", answer.stdout + answer.stderr)
        found.append(f"{name} {number[0] if number else '?'}")
    return found


def conditions(groups: list[Group]) -> str:
    """What may differ between groups: rounds and seconds, and what was measured when."""
    said = dict.fromkeys(f"{group.rounds} rounds of {group.seconds} s" for group in groups)
    revisions = dict.fromkeys(group.revision for group in groups)
    moments = [group.when for group in groups]
    return f"{'; '.join(said)}; {min(moments)} to {max(moments).split()[1]}, {', '.join(revisions)}."


# === tables ===

def table(part: str, groups: list[Group]) -> str:
    columns = COLUMNS.get(part, [])
    unit = "MB/s" if part == "bulk" else "transactions/s"
    base = BASES.get(part, "direct")
    heads = ["load", "way", unit, "spread", f"× {base}", "Waypool × it", "CPU user", "system", "together", "memory",
             *(head for head, _ in columns)]
    if part in ALONE:
        heads.remove("Waypool × it")
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'---:|' * (len(heads) - 2)}"]
    for group in groups:
        for subject in group.subjects:
            lines.append(row(group, subject, base, columns, part not in ALONE))
    return "\n".join(lines)


def row(group: Group, subject: str, base: str, columns: list, compared: bool) -> str:
    runs = group.of(subject)
    if not runs:
        words = next(run.failure for run in group.runs if run.subject == subject).strip().splitlines()[-1]
        return f"| {group.load} | {subject} | failed: {words} |"
    rates = [run.rate for run in runs]
    cells = [group.load, subject, number(statistics.median(rates)), f"{number(min(rates))} to {number(max(rates))}",
             ratio(group, subject, base)]
    if compared:
        cells.append(ratio(group, "waypool", subject) if subject != "waypool" else "")
    cells += [*cpu(runs), memory(runs), *(cell(runs) for _, cell in columns)]
    return f"| {' | '.join(cells)} |"


def number(figure: float) -> str:
    return f"{figure:,.0f}"


def ratio(group: Group, subject: str, base: str) -> str:
    found = bounds.ratio(group, subject, base)
    return "–" if found is None else f"{found:.3f}" if group.part in ALONE else f"{found:.2f}"


def cpu(runs: list[Run]) -> list[str]:
    if runs[0].user_us is None:
        return ["–", "–", "–"]
    user, system = [run.user_us for run in runs], [run.system_us for run in runs]
    return [f"{statistics.median(figures):.1f}" for figures in (user, system, [u + s for u, s in zip(user, system)])]


def memory(runs: list[Run]) -> str:
    sizes = [run.resident_kib for run in runs if run.resident_kib is not None]
    return f"{statistics.median(sizes) / 1024:.0f} MiB" if sizes else "–"


def noted(name: str, form: Callable[[float], str]) -> Callable[[list[Run]], str]:
    """A figure that only some parts have."""
    def cell(runs: list[Run]) -> str:
        figures = [run.more[name] for run in runs if name in run.more]
        return form(statistics.median(figures)) if figures else "–"
    return cell


def equality(runs: list[Run]) -> str:
    equal = sum(run.more["equal"] for run in runs)
    return "yes" if equal == len(runs) else f"{equal} of {len(runs)}"


COLUMNS = {
    "bulk": [("grown", noted("grown KiB", lambda kib: f"{kib / 1024:.1f} MiB"))],
    "split": [("on standbys", noted("on standbys", lambda share: f"{share:.0%}"))],
    "replication": [("equal", equality)],
    "swap": [("swaps", noted("swaps", number)), ("a swap", noted("ms a swap", lambda ms: f"{ms:.0f} ms"))],
}
# What the rates are compared with, where it is not a direct connection.
BASES = {"replication": "pgpool", "plugins": chain.OFF, "swap": chain.QUIET}
# Waypool with itself.
ALONE = ("plugins", "swap")


def latency(groups: list[Group]) -> list[str]:
    """What a way adds to a transaction of one client."""
    alone = [group for group in groups if group.clients == 1]
    if not alone:
        return []
    lines = ["| protocol | way | a transaction | added to direct | × HAProxy's |", "|---|---|---:|---:|---:|"]
    for group in alone:
        for subject in group.subjects:
            runs = group.of(subject)
            if not runs:
                continue
            whole = statistics.median(1e6 / run.rate for run in runs)
            added, beside = bounds.added_latency(group, subject), bounds.added_latency(group, "haproxy")
            last = f"{added / beside:.2f} |" if added and beside else "– |"
            lines.append(f"| {group.mode} | {subject} | {whole:.1f} µs | {added:.1f} µs | {last}")
    return ["### Added latency\n\nOf the runs of pgbench -S with one client.\n\n" + "\n".join(lines)]


def idle(group: Group) -> str:
    lines = ["| proxy | memory at start | each client, idle | each, after queries | beside them | alone | ratio |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for run in group.runs:
        if run.rate is None or run.failure:
            lines.append(f"| {run.subject} | failed: {run.failure.strip()} |")
            continue
        start = run.more["at start"]
        each = [f"{(run.more[point] - start) / group.clients:.1f} KiB" for point in ("idle", "after queries")]
        lines.append(f"| {run.subject} | {start / 1024:.1f} MiB | {' | '.join(each)} | {number(run.rate)}/s "
                     f"| {number(run.more['alone'])}/s | {run.rate / run.more['alone']:.2f} |")
    return (f"### {group.clients:,} idle clients\n\npool_mode transaction, 20 server connections. Beside them and alone: pgbench -S "
            "-M extended with 16 clients. HAProxy would need as many server connections, Pgpool-II as many processes: "
            f"they are not asked. {group.when}, {group.revision}.\n\n" + "\n".join(lines))
