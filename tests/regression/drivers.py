#!/usr/bin/env python3
"""The drivers' own tests, directly and through Waypool: what passes has to be
the same.

    tests/regression/drivers.py [--pool-mode MODE] [--standbys N] [SUITE]...

asyncpg, psycopg2 and tokio-postgres have their tests in the packages that PyPI
and crates.io hand out. psycopg (3) and node-postgres have them in their
repositories only: `--checkout psycopg=FOLDER` names a checkout of the version
below; without one they are left out. All of it lies in target/drivers.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

from servers import TARGET, Servers

FOLDER = TARGET / "drivers"
PYTHON = FOLDER / "venv/bin/python"
ASYNCPG = "0.30.0"
PSYCOPG2 = "2.9.10"
PSYCOPG = "3.2.13"
NODE_POSTGRES = "8.13.1"
PACKAGES = [
    f"asyncpg=={ASYNCPG}", f"psycopg2-binary=={PSYCOPG2}", f"psycopg[binary]=={PSYCOPG}", "psycopg-pool==3.2.8",
    "pytest==8.3.4", "pytest-timeout==2.3.1", "anyio==4.7.0", "distro==1.9.0",
]
# Tests look at them.
SETTINGS = ["max_prepared_transactions=10", "wal_level=logical", "max_connections=200"]
# The reads of a test come right behind its writes.
WAITING = ["synchronous_standby_names=*", "synchronous_commit=remote_apply"]
# What differs in session mode, see docs/clients.md: a read whose connection is
# closed by the server is asked again; notices of a login are not passed on.
KNOWN = {"tests/test_cursor.py::CursorTests::test_external_close_async", "notices"}
# What became of each test.
Outcomes = dict[str, str]


def run(*words, **options) -> None:
    subprocess.run([str(word) for word in words], check=True, **options)


def python_packages() -> None:
    done, wanted = FOLDER / "venv/installed.txt", "\n".join(PACKAGES)
    if done.exists() and done.read_text() == wanted:
        return
    run(sys.executable, "-m", "venv", "--clear", FOLDER / "venv")
    run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
    done.write_text(wanted)


def source_package(name: str, version: str) -> Path:
    """The tests of a package, which are in its source distribution only."""
    folder = FOLDER / f"{name}-{version}"
    if not (folder / "tests").exists():
        words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
        # pip wants to know the metadata of a package that it only downloads.
        run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "setuptools", "wheel", "Cython<4")
        run(PYTHON, "-m", "pip", *words, "--no-binary", ":all:", f"{name}=={version}", "-d", FOLDER)
        folder.mkdir(exist_ok=True)
        run("tar", "-xzf", FOLDER / f"{name}-{version}.tar.gz", "-C", folder, "--strip-components=1", f"{name}-{version}/tests")
    return folder


@dataclass
class Pytest:
    """A suite that pytest can run."""

    name: str
    package: tuple[str, str] | None
    words: list[str]
    environment: dict[str, str]
    checkout: Path | None = None

    def prepare(self) -> None:
        python_packages()
        self.folder = self.checkout or source_package(*self.package)

    def run(self, port: int, report: Path, only: list[str]) -> Outcomes:
        environment = {name: value.format(port=port) for name, value in self.environment.items()}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | environment
        words = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=120", "-o", "junit_family=xunit1"]
        words += [f"--junitxml={report}.xml", *self.words, *(only or ["tests"])]
        with open(f"{report}.txt", "wb") as output:
            subprocess.run(words, cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        return dict(outcome(case) for case in xml.parse(f"{report}.xml").iter("testcase"))


def outcome(case: xml.Element) -> tuple[str, str]:
    """A test's name, as pytest takes it, and how it ended."""
    classes, file = case.get("classname", ""), case.get("file", "")
    module = file.removesuffix(".py").replace("/", ".")
    inner = [word for word in classes.removeprefix(module).split(".") if word]
    name = "::".join([file, *inner, case.get("name", "")])
    for kind in ["failure", "error", "skipped"]:
        if case.find(kind) is not None:
            return name, "skipped" if kind == "skipped" else "failed"
    return name, "passed"


@dataclass
class TokioPostgres:
    """Its tests, in a little package of ours: theirs builds a lot more."""

    name: str = "tokio-postgres"
    version: str = "0.7.18"

    def prepare(self) -> None:
        self.folder = FOLDER / self.name
        (self.folder / "src").mkdir(parents=True, exist_ok=True)
        (self.folder / "src/lib.rs").touch()
        (self.folder / "Cargo.toml").write_text(TOKIO_POSTGRES.format(version=self.version))
        words = ["cargo", "metadata", "--format-version=1", "--manifest-path", self.folder / "Cargo.toml"]
        said = subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout
        for package in json.loads(said)["packages"]:
            if package["name"] == self.name:
                self.sources = Path(package["manifest_path"]).parent / "tests/test"

    def run(self, port: int, report: Path, only: list[str]) -> Outcomes:
        shutil.copytree(self.sources, self.folder / "tests/test", dirs_exist_ok=True)
        for file in (self.folder / "tests/test").glob("*.rs"):
            # Their server's port is written into them.
            file.write_text(file.read_text().replace("5433", str(port)))
        words = ["cargo", "test", "--quiet", "--manifest-path", self.folder / "Cargo.toml", "--test", "test", "--"]
        words += ["--test-threads=4", "--format=pretty", *(["--exact", *only] if only else [])]
        with open(f"{report}.txt", "wb") as output:
            subprocess.run([str(word) for word in words], stdout=output, stderr=subprocess.STDOUT)
        lines = [line.split() for line in open(f"{report}.txt") if line.startswith("test ") and " ... " in line]
        ends = {"ok": "passed", "FAILED": "failed"}
        return {words[1]: ends.get(words[-1], "skipped") for words in lines}


@dataclass
class NodePostgres:
    """Its integration tests: a file counts as one test."""

    checkout: Path
    name: str = "node-postgres"

    def prepare(self) -> None:
        self.folder = FOLDER / f"pg-{NODE_POSTGRES}"
        if (self.folder / "test").exists():
            return
        packages = [f"pg@{NODE_POSTGRES}", "async@2.6.4", "bluebird@3.7.2", "co@4.6.0", "pg-copy-streams@0.3.0"]
        run("npm", "install", "--silent", "--ignore-scripts", "--no-save", "--prefix", self.folder, *packages)
        package = self.folder / "node_modules/pg"
        for part in ["lib", "package.json"]:
            (self.folder / part).symlink_to(package / part)
        for part in ["script", "test"]:
            shutil.copytree(self.checkout / "packages/pg" / part, self.folder / part)

    def run(self, port: int, report: Path, only: list[str]) -> Outcomes:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment |= {name: value.format(port=port) for name, value in THERE.items()} | {"PGTESTNOSSL": "1"}
        files = only or sorted(str(file.relative_to(self.folder)) for file in self.folder.glob("test/integration/**/*-tests.js"))
        outcomes = {}
        with open(f"{report}.txt", "wb") as output:
            for file in ["script/create-test-tables.js", *files]:
                output.write(f"=== {file}\n".encode())
                output.flush()
                words = ["timeout", "60", "node", file]
                done = subprocess.run(words, cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
                outcomes[file] = "failed" if done.returncode else "passed"
        return outcomes


TOKIO_POSTGRES = """\
[package]
name = "tokio-postgres-tests"
edition = "2024"

[workspace]

[features]
default = ["runtime"]
runtime = []

[dev-dependencies]
bytes = "1"
env_logger = {{ version = "0.11", default-features = false }}
futures-channel = {{ version = "0.3", features = ["sink"] }}
futures-util = {{ version = "0.3", features = ["sink"] }}
pin-project-lite = "0.2"
postgres-protocol = "0.6"
postgres-types = "0.2"
tokio = {{ version = "1", features = ["macros", "net", "rt", "rt-multi-thread", "time"] }}
tokio-postgres = "={version}"

[[test]]
name = "test"
path = "tests/test/main.rs"
"""
THERE = {"PGHOST": "127.0.0.1", "PGPORT": "{port}", "PGUSER": "postgres", "PGDATABASE": "drivers"}
DSN = "host=127.0.0.1 port={port} user=postgres dbname=drivers"


def suites(checkouts: dict[str, Path]) -> dict:
    all_of_them = [
        # They look at the code's style, or at what is not installed.
        Pytest("asyncpg", ("asyncpg", ASYNCPG), ["--ignore=tests/test__sourcecode.py"], THERE),
        Pytest("psycopg2", ("psycopg2", PSYCOPG2), [], {"PSYCOPG2_TESTDB": "drivers", "PSYCOPG2_TEST_REPL_DSN": ""} | THERE),
        TokioPostgres(),
    ]
    if folder := checkouts.get("psycopg"):
        words = ["-m", "not slow and not mypy and not proxy and not dns and not gevent", "-p", "no:randomly"]
        all_of_them.append(Pytest("psycopg", None, words, {"PSYCOPG_TEST_DSN": DSN}, folder))
    if folder := checkouts.get("node-postgres"):
        all_of_them.append(NodePostgres(folder))
    return {suite.name: suite for suite in all_of_them}


def count(outcomes: Outcomes, end: str) -> int:
    return sum(one == end for one in outcomes.values())


def differing(direct: Outcomes, through: Outcomes) -> list[str]:
    return [name for name in direct | through if direct.get(name) != through.get(name)]


def compare(suite, arguments) -> int:
    """Tells what differs, twice; how much that is."""
    suite.prepare()
    configuration = f'pool_mode = "{arguments.pool_mode}"\nadmin_users = ["postgres"]'
    waiting = SETTINGS + (WAITING if arguments.standbys else [])
    with Servers(SETTINGS) as direct, Servers(waiting, configuration, arguments.standbys) as through:
        ways = {"direct": direct.port, "through": through.port}
        for servers in (direct, through):
            psql = ["psql", "-qX", "-h", "127.0.0.1", "-U", "postgres", "-p", str(servers.about["servers"][0]["port"])]
            roles = "".join(f"CREATE ROLE {role}_user LOGIN PASSWORD 'password';" for role in ["pass", "md5", "scram"])
            run(*psql, "-c", roles, "-c", "CREATE DATABASE drivers")
            run(*psql, "-d", "drivers", "-c", "CREATE EXTENSION hstore")
        first = {way: suite.run(port, FOLDER / f"{suite.name}-{way}", []) for way, port in ways.items()}
        names = differing(*first.values())
        for way, outcomes in first.items():
            ends = ", ".join(f"{count(outcomes, end)} {end}" for end in ["passed", "failed", "skipped"])
            print(f"{suite.name} {way}: {ends}", flush=True)
        # A test that is not sure of itself may differ once.
        again = {way: suite.run(port, FOLDER / f"{suite.name}-{way}-again", names) for way, port in ways.items()} if names else first
        same = lambda name: all(first[way].get(name) == again[way].get(name) for way in ways)
        names = [name for name in differing(*again.values()) if name in names and same(name)]
        for name in names:
            known = " (known)" if name in KNOWN else ""
            print(f"  {name}: {again['direct'].get(name)} directly, {again['through'].get(name)} through Waypool{known}")
    return sum(name not in KNOWN for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool-mode", default="session")
    parser.add_argument("--standbys", type=int, default=0)
    parser.add_argument("--checkout", action="append", default=[], metavar="SUITE=FOLDER")
    parser.add_argument("suites", nargs="*")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    checkouts = {name: Path(folder).resolve() for name, folder in (word.split("=", 1) for word in arguments.checkout)}
    known = suites(checkouts)
    differ = sum(compare(known[name], arguments) for name in arguments.suites or known)
    print(f"{differ} tests end differently, in pool mode {arguments.pool_mode} with {arguments.standbys} standbys")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
