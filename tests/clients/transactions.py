"""Transactions as psycopg makes them: begun by the first statement, ended by
commit or rollback; savepoints; isolation levels; two phases."""

import psycopg
from common import connect, equal, value
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus

with connect() as connection:
    connection.execute("CREATE TABLE t (n int PRIMARY KEY)")

# Nothing is there before the commit, nothing after a rollback.
with connect() as connection, connect(autocommit=True) as other:
    connection.execute("INSERT INTO t VALUES (1)")
    equal(value(connection, "SELECT count(*) FROM t"), 1)
    equal(value(other, "SELECT count(*) FROM t"), 0)
    connection.commit()
    equal(value(other, "SELECT count(*) FROM t"), 1)
    connection.execute("DELETE FROM t")
    equal(value(connection, "SELECT count(*) FROM t"), 0)
    connection.rollback()
    equal(value(connection, "SELECT count(*) FROM t"), 1)
    connection.rollback()

# An error fails the transaction until it ends.
with connect() as connection:
    connection.execute("INSERT INTO t VALUES (2)")
    try:
        connection.execute("INSERT INTO t VALUES (2)")
        raise AssertionError("a duplicate")
    except psycopg.errors.UniqueViolation:
        equal(connection.info.transaction_status, TransactionStatus.INERROR)
    try:
        connection.execute("SELECT 1")
        raise AssertionError("in a failed transaction")
    except psycopg.errors.InFailedSqlTransaction as error:
        equal(error.sqlstate, "25P02")
    connection.rollback()
    equal(value(connection, "SELECT array_agg(n) FROM t"), [1])

# Savepoints, nested; an inner one rolls back alone.
with connect() as connection:
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (3)")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO t VALUES (4)")
                with connection.transaction():
                    connection.execute("INSERT INTO t VALUES (5)")
                connection.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass
        equal(value(connection, "SELECT array_agg(n ORDER BY n) FROM t"), [1, 3])
    equal(value(connection, "SELECT array_agg(n ORDER BY n) FROM t"), [1, 3])

# Isolation levels are the transaction's, read-only ones refuse to write.
with connect() as connection, connect(autocommit=True) as other:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    equal(value(connection, "SELECT count(*) FROM t"), 2)
    equal(value(connection, "SHOW transaction_isolation"), "repeatable read")
    other.execute("INSERT INTO t VALUES (6)")
    equal(value(connection, "SELECT count(*) FROM t"), 2)
    connection.rollback()
    equal(value(connection, "SELECT count(*) FROM t"), 3)
    connection.rollback()
    connection.isolation_level = IsolationLevel.SERIALIZABLE
    equal(value(connection, "SHOW transaction_isolation"), "serializable")
    equal(value(connection, "SELECT count(*) FROM t"), 3)
    connection.rollback()
    connection.isolation_level = None
    connection.read_only = True
    try:
        connection.execute("INSERT INTO t VALUES (7)")
        raise AssertionError("read only")
    except psycopg.errors.ReadOnlySqlTransaction:
        connection.rollback()

# Two phases, the second of which is another session's.
with connect() as connection:
    connection.tpc_begin(connection.xid(1, "transfer", "here"))
    connection.execute("INSERT INTO t VALUES (8)")
    connection.tpc_prepare()
    connection.close()
with connect() as connection:
    equal(value(connection, "SELECT count(*) FROM t WHERE n = 8"), 0)
    connection.rollback()
    [xid] = connection.tpc_recover()
    connection.tpc_commit(xid)
    equal(value(connection, "SELECT count(*) FROM t WHERE n = 8"), 1)
