#!/usr/bin/env python3
"""Counts what one transaction costs Waypool: instructions, allocations and system calls, and where they go.

pgbench's SELECT-only script runs through the proxy three times: under callgrind, under strace, and alone, for the
processor's time. The first two do not depend on how busy the machine is. To compare two builds give each as --program.

    tests/bench/cost.py --mode prepared --pool transaction
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
import measure  # noqa: E402
import services  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MODES = ["simple", "extended", "prepared"]
# All ways into the allocator.
ALLOCATES = re.compile(r"mi_(heap_)?(malloc|zalloc|realloc|calloc)(_aligned|_small)?$")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=[*MODES, "all"], default="all")
    parser.add_argument("--pool", choices=["session", "transaction"], default="session")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--transactions", type=int, default=200, help="of each client, under callgrind")
    parser.add_argument("--seconds", type=int, default=3, help="length of the run that is timed")
    parser.add_argument("--top", type=int, default=10, help="functions to show")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/waypool")
    parser.add_argument("--only", choices=["callgrind", "strace", "time"])
    return parser.parse_args()


def main() -> None:
    args = arguments()
    modes = MODES if args.mode == "all" else [args.mode]
    wanted = [args.only] if args.only else ["callgrind", "strace", "time"]
    with (services.cluster(args.program.with_name("waypool-sandbox"), 0) as cluster,
          tempfile.TemporaryDirectory(prefix="waypool-cost-") as folder):
        bench = measure.Pgbench(cluster, args.clients, args.seconds)
        bench.initialise(1)
        if "callgrind" in wanted:
            for mode in modes:
                under_callgrind(args, bench, mode, Path(folder))
        with services.waypool(args.program, cluster.ports, Path(folder), top=top(args)) as proxy:
            for mode in modes:
                if "strace" in wanted:
                    under_strace(args, bench, proxy, mode)
                if "time" in wanted:
                    timed(args, bench, proxy, mode)


def top(args: argparse.Namespace) -> str:
    return f'{services.SESSIONS}\npool_mode = "{args.pool}"\nworker_threads = 1\n'


def under_callgrind(args: argparse.Namespace, bench: measure.Pgbench, mode: str, folder: Path) -> None:
    """The difference between a long run and a short one: logins are in both."""
    totals = []
    for times in (1, 2):
        output = folder / f"callgrind.{mode}.{times}"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={output}"]
        with services.waypool(args.program, bench.cluster.ports, folder, top=top(args), before=command) as proxy:
            drive(args, bench, proxy, mode, 20)
            control("-i", "on", proxy)
            drive(args, bench, proxy, mode, args.transactions * times)
            control("-i", "off", proxy)
            control("-d", None, proxy)
        totals.append(Profile(next(folder.glob(f"{output.name}.1"))))
    less, more = totals
    count = args.transactions * args.clients
    instructions = {name: (cost - less.functions.get(name, 0)) / count for name, cost in more.functions.items()}
    calls = {name: (number - less.calls.get(name, 0)) / count for name, number in more.calls.items()}
    allocations = sum(number for name, number in calls.items() if ALLOCATES.search(name))
    say(f"{mode}, {args.pool}: {sum(instructions.values()):.0f} instructions, {allocations:.2f} allocations a transaction")
    for name, cost in sorted(instructions.items(), key=lambda entry: -entry[1])[:args.top]:
        say(f"{cost:10.1f}  {calls.get(name, 0):6.2f} calls  {name}")


class Profile:
    """Callgrind's output: the instructions of each function itself, and how often it was called."""

    def __init__(self, path: Path):
        self.functions: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        names: dict[str, str] = {}
        function, skip = "", False
        for line in path.open():
            key, _, value = line.rstrip("\n").partition("=")
            if key in ("fn", "cfn"):
                number, _, name = value.partition(" ")
                name = names.setdefault(number, name)
                if key == "fn":
                    function = name
                else:
                    called = name
            elif key == "calls":
                self.calls[called] = self.calls.get(called, 0) + int(value.split()[0])
                skip = True  # the next line is what the call cost
            elif line[:1].isdigit() or line[:1] in "+-*":
                if not skip:
                    fields = line.split()
                    self.functions[function] = self.functions.get(function, 0) + int(fields[1] if len(fields) > 1 else 0)
                skip = False


def control(option: str, value: str | None, proxy: services.Subject) -> None:
    words = [option] + ([value] if value else [])
    subprocess.run(["callgrind_control", *words, str(proxy.pid)], check=True, stdout=subprocess.DEVNULL)


def drive(args: argparse.Namespace, bench: measure.Pgbench, proxy: services.Subject, mode: str, each: int) -> None:
    bench.call("pgbench", proxy.port, "-n", "-S", "-M", mode, "-c", str(args.clients), "-t", str(each))


def under_strace(args: argparse.Namespace, bench: measure.Pgbench, proxy: services.Subject, mode: str) -> None:
    with tempfile.NamedTemporaryFile() as table:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", table.name, "-p", str(proxy.pid)],
                                  stderr=subprocess.PIPE, text=True)
        tracer.stderr.readline()  # it is attached
        drive(args, bench, proxy, mode, args.transactions)
        tracer.terminate()
        tracer.wait()
        lines = Path(table.name).read_text().splitlines()
    count = args.transactions * args.clients
    say(f"{mode}, {args.pool}: system calls a transaction")
    for line in lines[2:7]:
        fields = line.split()
        if len(fields) >= 5:
            say(f"{int(fields[3]) / count:10.2f}  {fields[-1]}")


def timed(args: argparse.Namespace, bench: measure.Pgbench, proxy: services.Subject, mode: str) -> None:
    run = bench.run(proxy, mode, 0)
    say(f"{mode}, {args.pool}: {run.user_us:.1f} µs user, {run.system_us:.1f} µs system, {run.tps:.0f} transactions/s")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        main()
    except services.Failed as failure:
        sys.exit(f"cost: {failure}")
