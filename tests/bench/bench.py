#!/usr/bin/env python3
"""Measures what Waypool costs, next to a direct connection and to PgBouncer.

`make bench` builds everything and calls this. pgbench's SELECT-only script runs
through all three in turn, several rounds, so that a slow minute of the machine
hits all alike; medians are reported. Then the same for what the plugins cost:
see chain.py. The tables are printed and written to target/bench/report.md, the
single runs to target/bench/results.json.
"""

import argparse
import contextlib
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
import chain  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import services  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MODES = ["simple", "extended", "prepared"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="length of one run")
    parser.add_argument("--pairs", type=int, default=15, help="rounds with and without plugins")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--idle", type=int, default=1000, help="idle connections when memory is read")
    parser.add_argument("--scale", type=int, default=10, help="pgbench's scale")
    parser.add_argument("--standbys", type=int, default=0, help="standbys behind Waypool")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s: shows that it works")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.pairs, args.seconds, args.scale = 1, 1, 2, 1
    return args


def main() -> None:
    args = arguments()
    programs = ROOT / "target/release"
    # A thousand connections need more files than many shells allow.
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))

    with services.cluster(programs / "waypool-sandbox", args.standbys) as cluster:
        pgbench = measure.Pgbench(cluster, args.clients, args.seconds)
        pgbench.initialise(args.scale)
        runs, memory = beside_others(args, pgbench, cluster, programs / "waypool")
        pairs = with_and_without_plugins(args, pgbench, cluster, programs / "waypool")

    text = report.render(args, cluster.version, runs, memory, pairs, host_figures(programs / "waypool"))
    print("\n" + text)
    output = ROOT / "target/bench"
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.md").write_text(text)
    (output / "results.json").write_text(json.dumps([dataclasses.asdict(run) for run in runs + pairs], indent=1))
    say(f"written to {output}/report.md and results.json")


def beside_others(args: argparse.Namespace, pgbench: measure.Pgbench, cluster: services.Cluster,
                  waypool: Path) -> tuple[list, list]:
    with working_folder() as folder, contextlib.ExitStack() as stack:
        subjects = [services.Subject("direct", cluster.primary_port, pid=None)]
        for start in (services.waypool(waypool, cluster.ports, folder),
                      services.pgbouncer(cluster, folder)):
            subject = stack.enter_context(start)
            if subject is not None:
                subjects.append(subject)
        # Ahead of the load: memory that the load leaves behind is another matter.
        memory = [measure.idle_memory(s, args.idle) for s in subjects if s.pid]
        return all_runs(pgbench, subjects, args.rounds), memory


def with_and_without_plugins(args: argparse.Namespace, pgbench: measure.Pgbench,
                             cluster: services.Cluster, waypool: Path) -> list:
    plugins = ROOT / "target/plugins"
    with working_folder() as folder, chain.ways(waypool, plugins, cluster, folder) as subjects:
        return chain.runs(pgbench, subjects, args.pairs, say)


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="waypool-bench-") as folder:
        yield Path(folder)


def all_runs(pgbench: measure.Pgbench, subjects: list, rounds: int) -> list:
    runs = []
    for mode in MODES:
        for number in range(rounds):
            for subject in subjects:
                run = pgbench.run(subject, mode, number)
                say(f"{mode} {number + 1}/{rounds} {subject.name}: {run.tps:.0f} transactions/s")
                runs.append(run)
    return runs


def host_figures(waypool: Path) -> str:
    """What a cache hit, a miss and a balancer's call cost inside Waypool, if it can tell."""
    if not waypool.exists():
        return ""
    answer = subprocess.run([waypool, "bench"], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except services.Failed as failure:
        sys.exit(f"bench: {failure}")
