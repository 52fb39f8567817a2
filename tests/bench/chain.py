"""What plugins cost: `pgbench -S -M prepared` with and without them, and while they are exchanged.

Every way leads to the primary alone, so that the servers do the same in all of
them; each run is compared with the one without plugins of its own round.
"""

import concurrent.futures
import contextlib
import dataclasses
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import services
from measure import Load, Pgbench, Run
from services import Failed

MODE = "prepared"

# No balancer applies, and what none decides goes to the primary. Statements are
# still classified when they are prepared: what no classifier knows may change
# anything, and is more work for the proxy than a read.
OFF = "routing off: no balancer"
OFF_PLUGINS = """
[plugins.balance]
databases = ["nobody"]
"""

OWN = "Waypool's own: classify, balance, rewrite"

# Classifiers and rewriters are asked when a statement is prepared; balancers
# for each execution, and observers hear of it.
EXAMPLES = "firewall, tenant, throttle and least_load before them"
EXAMPLE_PLUGINS = """
[plugins.firewall]
path = "{folder}/firewall.wasm"
[plugins.tenant]
path = "{folder}/tenant.wasm"
[plugins.tenant.config]
groups = {{ acme = [0] }}
otherwise = "any"
[plugins.throttle]
path = "{folder}/throttle.wasm"
[plugins.throttle.config]
running = 100000
[plugins.least_load]
path = "{folder}/least_load.wasm"
"""


@contextlib.contextmanager
def ways(program: Path, plugins: Path, cluster: services.Cluster,
         folder: Path) -> Iterator[list[services.Subject]]:
    """A proxy for each way, the one without plugins first."""
    configurations = {OFF: OFF_PLUGINS, OWN: "", EXAMPLES: EXAMPLE_PLUGINS.format(folder=plugins)}
    with contextlib.ExitStack() as stack:
        subjects = []
        for number, (name, text) in enumerate(configurations.items()):
            started = services.waypool(program, [cluster.primary_port], folder, f"chain-{number}", text)
            subjects.append(dataclasses.replace(stack.enter_context(started), name=name))
        yield subjects


def host_figures(program: Path) -> str:
    """What a cache hit, a miss and a balancer's call cost inside Waypool, in its own words."""
    answer = subprocess.run([program, "bench"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if answer.returncode != 0:
        raise Failed(f"{program} bench failed:\n{answer.stderr[-2000:]}")
    return answer.stdout.strip()


# === while they are exchanged ===

QUIET = "nobody touches the plugins"
EXCHANGED = "again and again one is pushed, put in and taken out"
PAUSE = 0.25


def swaps(program: Path, plugins: Path, pgbench: Pgbench, folder: Path, rounds: int) -> list[Run]:
    admin = f"unix:{folder}/admin"
    started = services.waypool(program, [pgbench.cluster.primary_port], folder,
                               plugins=f'[admin]\nsocket = "{folder}/admin"\n[plugins]\npush_directory = "{folder}"\n')
    with started as subject:
        # It takes orders a moment after it takes clients.
        services.wait_until((folder / "admin").exists, "the proxy takes orders")
        ways = [dataclasses.replace(subject, name=name) for name in (QUIET, EXCHANGED)]

        def around(way: services.Subject, run) -> Run:
            return run() if way.name == QUIET else while_swapping(program, plugins / "firewall.wasm", admin, run)

        return pgbench.interleaved(ways, Load(16, MODE), rounds, around)


def while_swapping(program: Path, plugin: Path, admin: str, run) -> Run:
    times, done = [], threading.Event()

    def swapping() -> None:
        while not done.wait(PAUSE):
            order(program, admin, "push", str(plugin))
            times.append(order(program, admin, "swap", plugin.stem))
            order(program, admin, "rollback", plugin.stem)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        swaps = pool.submit(swapping)
        try:
            result = run()
        finally:
            done.set()
        swaps.result()
    if times:
        result.more["swaps"] = len(times)
        result.more["ms a swap"] = statistics.median(times) * 1000
    return result


def order(program: Path, admin: str, *words: str) -> float:
    """How long an order took, with the start of the program that gives it."""
    begin = time.perf_counter()
    done = subprocess.run([program, "plugin", *words, "--admin", admin], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"waypool plugin {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - begin
