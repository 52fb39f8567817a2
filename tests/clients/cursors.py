"""Server-side cursors."""

from common import connect, equal, value

with connect() as connection:
    connection.execute("CREATE TABLE t AS SELECT n, repeat('x', 100) AS s FROM generate_series(1, 5000) AS n")

with connect() as connection:
    with connection.cursor(name="plain") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT n, s FROM t ORDER BY n")
        equal([row[0] for row in cursor], list(range(1, 5001)))
    with connection.cursor(name="binary", ) as cursor:
        cursor.execute("SELECT n FROM t WHERE n > %s ORDER BY n", [4990], binary=True)
        equal(cursor.fetchmany(3), [(4991,), (4992,), (4993,)])
        equal(len(cursor.fetchall()), 7)
    with connection.cursor(name="scrolled", scrollable=True) as cursor:
        cursor.execute("SELECT n FROM t ORDER BY n")
        cursor.scroll(10)
        equal(cursor.fetchone(), (11,))
        cursor.scroll(0, mode="absolute")
        equal(cursor.fetchone(), (1,))

# Two cursors at a time, one of which sees what the transaction has written.
with connect() as connection:
    first, second = connection.cursor(name="first"), connection.cursor(name="second")
    first.execute("SELECT n FROM t ORDER BY n")
    connection.execute("DELETE FROM t WHERE n <= 2")
    second.execute("SELECT n FROM t ORDER BY n")
    equal([first.fetchone(), second.fetchone()], [(1,), (3,)])
    equal([first.fetchone(), second.fetchone()], [(2,), (4,)])
    first.close()
    second.close()
    connection.rollback()

# One that outlives its transaction.
with connect(autocommit=True) as connection:
    cursor = connection.cursor(name="held", withhold=True)
    with connection.transaction():
        cursor.execute("SELECT n FROM t ORDER BY n")
        equal(cursor.fetchone(), (1,))
    equal(value(connection, "SELECT count(*) FROM t"), 5000)
    equal(cursor.fetchmany(2), [(2,), (3,)])
    cursor.close()
