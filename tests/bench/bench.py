#!/usr/bin/env python3
"""Measures what Waypool costs, beside a direct connection, HAProxy, PgBouncer and Pgpool-II.

`make bench` builds and installs everything and calls this. Each part (see parts.py)
sends the same load through all in turn, several rounds, so that a slow minute of the
machine hits all alike; medians are reported. Figures of each group of runs are kept in
target/bench/results.json as soon as they are complete, in the place of older ones: a report
may be put together from several calls. The report goes to target/bench/report.md, with
--keep to docs/performance.md as well. With --quick the folder is target/bench/quick.
"""

import argparse
import resource
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # leave no __pycache__ in the source tree
import measure  # noqa: E402
import parts  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import services  # noqa: E402
from services import say  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target/release"
KEPT = ROOT / "docs/performance.md"
NAMES = [part.name for part in parts.PARTS]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--only", type=words, default=NAMES, metavar="PART,...", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one run")
    parser.add_argument("--clients", type=words, default=["1", "16", "64", "256"], metavar="N,...",
                        help="of the parts select and transaction")
    parser.add_argument("--protocols", type=words, default=parts.MODES, metavar="MODE,...")
    parser.add_argument("--idle", type=int, default=5000, help="clients of the part idle")
    parser.add_argument("--scale", type=int, default=20, help="pgbench's scale")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=HOST:PORT",
                        help="a proxy that runs already, in front of --port")
    parser.add_argument("--port", type=int, help="where the first server listens; standbys follow it")
    parser.add_argument("--waypool", action="append", metavar="NAME=PROGRAM", help="instead of the one in target; several are compared")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s each: shows that it works")
    parser.add_argument("--keep", action="store_true", help=f"write the report into {KEPT.relative_to(ROOT)}")
    parser.add_argument("--report", action="store_true", help="measure nothing: only the report, of what is there")
    args = parser.parse_args()
    if unknown := set(args.only) - set(NAMES):
        parser.error(f"--only {','.join(unknown)}: parts are {', '.join(NAMES)}")
    if unknown := set(args.protocols) - set(parts.MODES):
        parser.error(f"--protocols {','.join(unknown)}: they are {', '.join(parts.MODES)}")
    if args.peer and not args.port:
        parser.error("--peer needs --port: the peer has to know where the servers are")
    if args.quick:
        args.rounds, args.seconds, args.scale, args.idle = 1, 1, 2, 500
    return args


def main() -> None:
    args = arguments()
    folder = ROOT / "target/bench" / ("quick" if args.quick else "")
    groups = results.load(folder / "results.json")
    if not args.report:
        # Thousands of connections need more files than many shells allow.
        _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
        for group in measured(args):
            groups = results.merged(groups, group)
            results.save(folder / "results.json", groups)
    if not groups:
        raise services.Failed("there are no figures yet")
    text = report.render(groups)
    print("\n" + text)
    (folder / "report.md").write_text(text)
    say(f"written to {folder}/report.md and results.json")
    if args.keep:
        report.keep(KEPT, text)


def measured(args: argparse.Namespace):
    for layout in services.LAYOUTS:
        chosen = [part for part in parts.PARTS if part.layout == layout and part.name in args.only]
        if not chosen:
            continue
        with services.cluster(RELEASE / "waypool-sandbox", layout, args.port) as cluster:
            bench = workbench(args, cluster)
            bench.pgbench.initialise(args.scale)
            for part in chosen:
                say(f"=== {part.name}")
                yield from part.measure(bench)


def workbench(args: argparse.Namespace, cluster: services.Cluster) -> parts.Bench:
    programs = {"waypool": RELEASE / "waypool"}
    if args.waypool:
        programs = {name: Path(program) for name, _, program in (words.partition("=") for words in args.waypool)}
    return parts.Bench(
        cluster=cluster,
        pgbench=measure.Pgbench(cluster, args.seconds),
        waypools=programs,
        peers=[peers.given(words) for words in args.peer],
        plugins=ROOT / "target/plugins",
        rounds=args.rounds,
        clients=[int(count) for count in args.clients],
        modes=args.protocols,
        idle=args.idle,
    )


if __name__ == "__main__":
    try:
        main()
    except services.Failed as failure:
        sys.exit(f"bench: {failure}")
