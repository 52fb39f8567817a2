"""Prepared statements, which psycopg makes from the prepare_threshold-th
execution on."""

import psycopg
from common import connect, equal, value

with connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE t (n int PRIMARY KEY, s text)")

# From the first execution on: reads, writes, and both in a transaction.
with connect(autocommit=True, prepare_threshold=0) as connection:
    for n in range(50):
        connection.execute("INSERT INTO t VALUES (%s, %s)", [n, f"row {n}"])
    for n in range(50):
        equal(value(connection, "SELECT s FROM t WHERE n = %s", n), f"row {n}")
    with connection.transaction():
        connection.execute("UPDATE t SET s = %s WHERE n = %s", ["changed", 7])
        # Prepared while reads went to the standby, run where the write was.
        equal(value(connection, "SELECT s FROM t WHERE n = %s", 7), "changed")
    equal(value(connection, "SELECT s FROM t WHERE n = %s", 7), "changed")

# More statements than psycopg keeps: it deallocates the oldest.
with connect(autocommit=True, prepare_threshold=0) as connection:
    connection.prepared_max = 5
    for round in range(3):
        for number in range(12):
            equal(value(connection, f"SELECT %s::int + {number}", round), round + number)

# A prepared statement outlives errors and DISCARD of others' making.
with connect(prepare_threshold=1) as connection:
    for n in [1, 2, 3]:
        equal(value(connection, "SELECT 12 / %s::int", n), 12 // n)
    try:
        value(connection, "SELECT 12 / %s::int", 0)
        raise AssertionError("a division by zero")
    except psycopg.errors.DivisionByZero:
        connection.rollback()
    equal(value(connection, "SELECT 12 / %s::int", 4), 3)

# The result's type changes: psycopg is told, as by a server alone.
with connect(autocommit=True, prepare_threshold=0) as connection:
    connection.execute("CREATE TABLE changing AS SELECT 1 AS n")
    equal(connection.execute("SELECT * FROM changing").fetchone(), (1,))
    equal(connection.execute("SELECT * FROM changing").fetchone(), (1,))
    connection.execute("ALTER TABLE changing ADD s text DEFAULT 'new'")
    try:
        connection.execute("SELECT * FROM changing")
        raise AssertionError("the plan must not change its result type")
    except psycopg.errors.FeatureNotSupported as error:
        equal(error.sqlstate, "0A000")
    connection.execute("DEALLOCATE ALL")
    connection.prepare_threshold = None
    equal(connection.execute("SELECT * FROM changing").fetchone(), (1, "new"))
