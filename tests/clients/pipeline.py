"""Pipeline mode: many statements on their way before the first answer."""

import psycopg
from common import connect, equal, value

with connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE t (n int PRIMARY KEY)")

# Reads and writes mixed, one transaction for each Sync.
with connect(autocommit=True) as connection:
    with connection.pipeline() as pipeline:
        cursors = []
        for n in range(100):
            connection.execute("INSERT INTO t VALUES (%s)", [n])
            cursors.append(connection.execute("SELECT count(*), %s::int FROM t", [n]))
        pipeline.sync()
        equal([cursor.fetchone() for cursor in cursors], [(n + 1, n) for n in range(100)])
    equal(value(connection, "SELECT count(*) FROM t"), 100)

# Reads only, a Sync after each.
with connect(autocommit=True) as connection:
    with connection.pipeline() as pipeline:
        cursors = []
        for n in range(100):
            cursors.append(connection.execute("SELECT n FROM t WHERE n = %s", [n]))
            pipeline.sync()
    equal([cursor.fetchone() for cursor in cursors], [(n,) for n in range(100)])

# An error drops what follows it up to the Sync, and what came before it.
with connect(autocommit=True) as connection:
    try:
        with connection.pipeline():
            connection.execute("INSERT INTO t VALUES (1000)")
            connection.execute("SELECT 1 / 0")
            connection.execute("INSERT INTO t VALUES (1001)")
        raise AssertionError("a division by zero")
    except psycopg.errors.DivisionByZero:
        pass
    equal(value(connection, "SELECT count(*) FROM t WHERE n >= 1000"), 0)
    with connection.pipeline() as pipeline:
        after = connection.execute("SELECT 'fine'")
    equal(after.fetchone(), ("fine",))

# A transaction within a pipeline.
with connect(autocommit=True) as connection:
    with connection.pipeline():
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (2000)")
            inside = connection.execute("SELECT count(*) FROM t WHERE n = 2000")
        outside = connection.execute("SELECT count(*) FROM t WHERE n = 2000")
    equal((inside.fetchone(), outside.fetchone()), ((1,), (1,)))

# executemany is a pipeline too.
with connect() as connection:
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO t VALUES (%s)", [(n,) for n in range(3000, 4000)])
    equal(cursor.rowcount, 1000)
    cursor.executemany("SELECT %s::int", [(n,) for n in range(5)], returning=True)
    results = [cursor.fetchone()]
    while cursor.nextset():
        results.append(cursor.fetchone())
    equal(results, [(n,) for n in range(5)])
    connection.rollback()
    equal(value(connection, "SELECT count(*) FROM t WHERE n >= 3000"), 0)
