"""What plugins cost a statement: `pgbench -S -M prepared` with and without them.

Every way leads to the primary alone, so that the servers do the same in all of
them. One run of each after another, in turn from the front and from the back: a
slow minute of the machine hits all alike, and each run is compared with the one
without plugins of its own round.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
import services

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
            subject = stack.enter_context(started)
            if subject is not None:
                subjects.append(services.Subject(name, subject.port, subject.pid))
        yield subjects


def runs(pgbench: measure.Pgbench, subjects: list[services.Subject], rounds: int,
         say: Callable[[str], None]) -> list[measure.Run]:
    done = []
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            run = pgbench.run(subject, MODE, number)
            say(f"{number + 1}/{rounds} {subject.name}: {run.tps:.0f} transactions/s")
            done.append(run)
    return done
