"""What the programs share: connections to where the environment points
(PGHOST, PGPORT, PGUSER), and small checks."""

import os
import time

import psycopg

# No test waits longer for anything.
PATIENCE = 60


def connect(**options) -> psycopg.Connection:
    return psycopg.connect(dbname=os.environ["WAYPOOL_TEST_DATABASE"], **options)


def value(connection: psycopg.Connection, sql: str, *parameters):
    """The one value that a query answers."""
    return connection.execute(sql, parameters or None).fetchone()[0]


def equal(actual, expected) -> None:
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


def wait_until(what: str, condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s in vain until {what}")
        time.sleep(0.01)
