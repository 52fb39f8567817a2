#!/usr/bin/env python3
"""PostgreSQL's own regression tests, by psql, directly and through Waypool: the
output has to be the same.

    tests/regression/regression.py [--standbys N] [TEST]...

Without a TEST: all of the schedule, one after another. The tests come from
Debian's source package and lie in target/regress. With standbys it only tells
what differs; see docs/clients.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import TARGET, Servers

SOURCES = TARGET / "regress"
# A connection that was used before has loaded libraries and has made a temporary
# schema; three tests notice.
CONFIGURATION = 'pool_mode = "session"\nconnection_cache = false'
SETTINGS = ["autovacuum=off"]
WAITING = ["synchronous_standby_names=*", "synchronous_commit=remote_apply"]
LOCALE = ["lc_messages", "lc_monetary", "lc_numeric", "lc_time"]


def major() -> int:
    """The sandbox takes the newest, too."""
    return max(int(folder.name) for folder in Path("/usr/lib/postgresql").glob("[0-9]*"))


def fetch() -> None:
    """Debian's source package, by lists of our own: nothing of the system changes."""
    if (SOURCES / "lib" / "regress.so").exists():
        return
    print("fetching PostgreSQL's regression tests", flush=True)
    shutil.rmtree(SOURCES, ignore_errors=True)
    apt = SOURCES / "apt"
    for folder in ["lists/partial", "cache/archives/partial"]:
        (apt / folder).mkdir(parents=True)
    release = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line)
    where = f"[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {release['VERSION_CODENAME']} main"
    (apt / "sources.list").write_text(f"deb {where}\ndeb-src {where}\n")
    options = [f"Dir::Etc::sourcelist={apt}/sources.list", "Dir::Etc::sourceparts=-"]
    options += [f"Dir::State::lists={apt}/lists", f"Dir::Cache={apt}/cache"]
    options = [word for option in options for word in ("-o", option)]
    run = lambda *words: subprocess.run(words, cwd=apt, check=True, stdout=subprocess.DEVNULL)
    run("apt-get", "-qq", *options, "update")
    run("apt-get", "-qq", *options, "source", "--download-only", f"postgresql-{major()}")
    run("apt-get", "-qq", *options, "download", f"postgresql-server-dev-{major()}")
    run("tar", "-xf", next(apt.glob("postgresql-*.orig.tar.bz2")), "--strip-components=3", "--wildcards", "*/src/test/regress")
    shutil.move(apt / "regress", SOURCES / "src")
    run("dpkg", "-x", next(apt.glob("postgresql-server-dev-*.deb")), "dev")
    headers = apt / f"dev/usr/include/postgresql/{major()}/server"
    (SOURCES / "lib").mkdir()
    for library in ["refint.so", "autoinc.so"]:
        shutil.copy(f"/usr/lib/postgresql/{major()}/lib/{library}", SOURCES / "lib")
    run("cc", "-shared", "-fPIC", "-I", headers, "-I", "/usr/include/postgresql", SOURCES / "src/regress.c", "-o", SOURCES / "lib/regress.so")
    shutil.rmtree(apt)


class Runner:
    """Runs tests as pg_regress does."""

    def __init__(self, port: int, sources: Path):
        self.sources = sources
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        self.environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "LC_ALL": "C"}
        self.environment |= {"PGTZ": "PST8PDT", "PGDATESTYLE": "Postgres, MDY", "HOME": str(sources), "PG_DLSUFFIX": ".so"}
        self.environment |= {"PG_ABS_SRCDIR": f"{sources}/src", "PG_ABS_BUILDDIR": f"{sources}/src", "PG_LIBDIR": f"{sources}/lib"}
        self.psql("postgres", "-qc", "CREATE DATABASE regression TEMPLATE = template0")
        settings = [f"{name} TO 'C'" for name in LOCALE] + ["bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"]
        for setting in settings:
            self.psql("postgres", "-qc", f"ALTER DATABASE regression SET {setting}")

    def psql(self, database: str, *words: str, script: Path | None = None) -> bytes:
        stdin = open(script, "rb") if script else subprocess.DEVNULL
        done = subprocess.run(
            ["psql", "-X", *words, "-d", database],
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment, timeout=600,
        )
        return done.stdout

    def test(self, name: str) -> bytes:
        words = ["-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]
        return self.psql("regression", *words, script=self.sources / "src/sql" / f"{name}.sql")


def schedule() -> list[str]:
    lines = (SOURCES / "src/parallel_schedule").read_text().splitlines()
    return [name for line in lines if line.startswith("test:") for name in line.split()[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--standbys", type=int, default=0)
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args()
    fetch()
    tests, differing = arguments.tests or schedule(), []
    # Where the servers may read it, and write into it; the same for both.
    with tempfile.TemporaryDirectory(prefix="waypool-regress-", dir="/tmp") as folder:
        subprocess.run(["cp", "-R", SOURCES / "src", SOURCES / "lib", folder], check=True)
        (Path(folder) / "src/results").mkdir(exist_ok=True)
        subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
        waiting = SETTINGS + (WAITING if arguments.standbys else [])
        with Servers(SETTINGS) as direct, Servers(waiting, CONFIGURATION, arguments.standbys) as through:
            runners = [Runner(servers.port, Path(folder)) for servers in (direct, through)]
            for name in tests:
                said = [runner.test(name) for runner in runners]
                if said[0] == said[1]:
                    continue
                differing.append(name)
                files = [Path(folder) / way for way in ("direct", "through")]
                for file, output in zip(files, said):
                    file.write_bytes(output)
                print(f"=== {name}", flush=True)
                subprocess.run(["diff", *files])
    print(f"{len(tests) - len(differing)} of {len(tests)} tests have the same output directly and through Waypool")
    sys.exit(bool(differing) and not arguments.standbys)


if __name__ == "__main__":
    main()
