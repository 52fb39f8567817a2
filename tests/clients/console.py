"""The admin console through psycopg: simple and prepared, inside a transaction and not."""

import psycopg

with psycopg.connect(dbname="waypool", autocommit=True) as connection:
    columns = [column.name for column in connection.execute("SHOW POOLS").description]
    assert columns[:3] == ["database", "user", "cl_active"], columns
    for prepare in (False, True):
        rows = connection.execute("SHOW LISTS", prepare=prepare).fetchall()
        assert ("used_clients", 1) in rows, rows
    cursor = connection.cursor(binary=True)
    rows = dict(cursor.execute("SHOW TOTALS").fetchall())
    assert rows["total_query_count"] >= 0, rows

# It begins a transaction of its own accord.
with psycopg.connect(dbname="waypool") as connection:
    assert connection.execute("SHOW STATE").fetchone() == ("active", "yes")
    try:
        connection.execute("SHOW NOTHING")
    except psycopg.errors.SyntaxError:
        connection.rollback()
    assert connection.execute("SHOW STATE").fetchone() == ("active", "yes")

print("ok")
