"""Turns the figures into a page of Markdown."""

import datetime
import os
import platform
import re
import statistics
from pathlib import Path

import chain
from measure import Memory, Run


def render(args, version: int, runs: list[Run], memory: list[Memory], pairs: list[Run],
           host_figures: str) -> str:
    parts = [
        "# Waypool's cost, measured",
        machine(),
        f"PostgreSQL {version}, pgbench -S with {args.clients} clients; medians of {args.rounds} "
        f"interleaved rounds of {args.seconds} s. CPU is the proxy process's own, in µs per "
        f"transaction. Standbys behind Waypool: {args.standbys}; the others use the primary only.",
        throughput(runs),
        idle(memory),
    ]
    if pairs:
        parts += [f"## With and without plugins\n\npgbench -S -M {chain.MODE}, everything on the primary; "
                  f"medians of {args.pairs} interleaved rounds of {args.seconds} s.", plugins(pairs)]
    if host_figures:
        parts.append(f"## Inside Waypool\n\n```\n{host_figures}\n```")
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    today = datetime.date.today().isoformat()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1] if model else platform.machine()
    return f"{today}, {os.cpu_count()} cores ({name}), Linux {platform.release()}"


def throughput(runs: list[Run]) -> str:
    lines = ["| protocol | way | transactions/s | × direct | CPU user | CPU system | CPU together |",
             "|---|---|---:|---:|---:|---:|---:|"]
    for mode in unique(run.mode for run in runs):
        of_mode = [run for run in runs if run.mode == mode]
        direct = {run.round: run.tps for run in of_mode if run.subject == "direct"}
        for subject in unique(run.subject for run in of_mode):
            lines.append(row(f"{mode} | {subject}", [run for run in of_mode if run.subject == subject], direct))
    return "\n".join(lines)


def row(title: str, runs: list[Run], base: dict[int, float], digits: int = 2) -> str:
    tps = statistics.median(run.tps for run in runs)
    # Each run against another one of its own round.
    ratio = statistics.median(run.tps / base[run.round] for run in runs)
    if runs[0].user_us is None:
        cpu = "– | – | –"
    else:
        user = statistics.median(run.user_us for run in runs)
        system = statistics.median(run.system_us for run in runs)
        together = statistics.median(run.user_us + run.system_us for run in runs)
        cpu = f"{user:.1f} | {system:.1f} | {together:.1f}"
    return f"| {title} | {tps:,.0f} | {ratio:.{digits}f} | {cpu} |"


def plugins(pairs: list[Run]) -> str:
    lines = ["| plugins | transactions/s | × without | CPU user | CPU system | CPU together |",
             "|---|---:|---:|---:|---:|---:|"]
    without = {run.round: run.tps for run in pairs if run.subject == chain.OFF}
    for subject in unique(run.subject for run in pairs):
        lines.append(row(subject, [run for run in pairs if run.subject == subject], without, digits=3))
    return "\n".join(lines)


def idle(memory: list[Memory]) -> str:
    lines = ["| proxy | memory at start | idle connections | memory with them | a connection |",
             "|---|---:|---:|---:|---:|"]
    for m in memory:
        each = (m.with_connections - m.at_start) / m.connections if m.connections else 0
        lines.append(f"| {m.subject} | {m.at_start / 1024:.1f} MiB | {m.connections:,} "
                     f"| {m.with_connections / 1024:.1f} MiB | {each:.1f} KiB |")
    return "\n".join(lines)


def unique(values) -> list[str]:
    return list(dict.fromkeys(values))
