"""COPY in both directions, in text and binary, with errors in the middle."""

import psycopg
from common import connect, equal, value

ROWS = 20000

with connect() as connection:
    connection.execute("CREATE TABLE t (n int, s text)")
    connection.commit()
    cursor = connection.cursor()
    with cursor.copy("COPY t FROM STDIN") as copy:
        for n in range(ROWS):
            copy.write_row((n, f"tab\there {n}" if n % 3 else None))
    equal(cursor.rowcount, ROWS)
    # In the transaction that wrote them.
    equal(value(connection, "SELECT count(*) FROM t"), ROWS)
    connection.commit()

with connect(autocommit=True) as connection:
    with connection.cursor().copy("COPY (SELECT n, s FROM t ORDER BY n) TO STDOUT") as copy:
        copy.set_types(["int4", "text"])
        rows = list(copy.rows())
    equal(len(rows), ROWS)
    equal(rows[:2], [(0, None), (1, "tab\there 1")])
    with connection.cursor().copy("COPY t TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(block) for block in copy)
    connection.execute("CREATE TABLE u (n int, s text)")
    with connection.cursor().copy("COPY u FROM STDIN (FORMAT binary)") as copy:
        for start in range(0, len(data), 8000):
            copy.write(data[start:start + 8000])
    equal(value(connection, "SELECT count(*) FROM u NATURAL JOIN t"), value(connection, "SELECT count(s) FROM t"))

# The server refuses a row while the client goes on sending.
with connect(autocommit=True) as connection:
    try:
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write("1\tone\n")
            copy.write("not a number\ttwo\n")
            for n in range(ROWS):
                copy.write(f"{n}\tmore\n")
        raise AssertionError("that is no number")
    except psycopg.errors.InvalidTextRepresentation:
        pass
    equal(value(connection, "SELECT count(*) FROM t"), ROWS)

# The client gives up.
with connect(autocommit=True) as connection:
    try:
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write("1\tone\n")
            raise ArithmeticError("on the client")
    except (ArithmeticError, psycopg.errors.QueryCanceled):
        pass
    equal(value(connection, "SELECT count(*) FROM t"), ROWS)

# The client loses interest in the rest.
with connect(autocommit=True) as connection:
    query = "COPY (SELECT n, repeat('x', 1000) FROM generate_series(1, 100000) AS n) TO STDOUT"
    try:
        with connection.cursor().copy(query) as copy:
            for _ in range(10):
                copy.read()
            raise ArithmeticError("on the client")
    except ArithmeticError:
        pass
    equal(value(connection, "SELECT 'fine'"), "fine")
