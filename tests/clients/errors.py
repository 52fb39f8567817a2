"""Every error keeps its SQLSTATE and its fields, and the session goes on."""

import psycopg
from common import connect, equal, value

with connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    connection.execute(
        "CREATE TABLE child (id int NOT NULL REFERENCES parent, n int CHECK (n > 0), s varchar(3))")

MISTAKES = {
    "SELCT": "42601",
    "SELECT * FROM missing": "42P01",
    "SELECT missing FROM parent": "42703",
    "SELECT missing(1)": "42883",
    "SELECT 1 / 0": "22012",
    "SELECT 'x'::int": "22P02",
    "SELECT 99999999999::int": "22003",
    "INSERT INTO child (n) VALUES (1)": "23502",
    "INSERT INTO child VALUES (1, 1, 'x')": "23503",
    "INSERT INTO child VALUES (1, -1, 'x')": "23514",
    "INSERT INTO child VALUES (1, 1, 'xxxx')": "22001",
    "CREATE TABLE parent ()": "42P07",
    "COMMIT PREPARED 'missing'": "42704",
    "SELECT * FROM parent FOR UPDATE OF missing": "42P01",
    "EXECUTE missing": "26000",
    "FETCH missing": "34000",
    "SET work_mem = 'plenty'": "22023",
    "SET nonsense_parameter = 1": "42704",
    "DROP TABLE parent": "2BP01",
    "SAVEPOINT s": "25P01",
    "SELECT pg_sleep(10)": "57014",
}

with connect(autocommit=True) as connection:
    connection.execute("SET statement_timeout = '2s'")
    for sql, sqlstate in MISTAKES.items():
        # As simple queries and as extended ones.
        for parameters in [None, ()]:
            try:
                connection.execute(sql, parameters, prepare=False)
                raise AssertionError(f"{sql} succeeded")
            except psycopg.Error as error:
                equal((sql, error.sqlstate), (sql, sqlstate))
            equal(value(connection, "SELECT 'goes on'"), "goes on")
    try:
        connection.execute("INSERT INTO child VALUES (1, -1, 'x')")
    except psycopg.errors.CheckViolation as error:
        equal((error.diag.table_name, error.diag.constraint_name), ("child", "child_n_check"))
        equal(error.diag.schema_name, "public")
    try:
        connection.execute("SELECT 1 +* 2")
    except psycopg.Error as error:
        equal(error.diag.statement_position, "10")

# Cancelled from outside.
with connect(autocommit=True) as connection:
    import threading
    from common import wait_until
    watcher = connect(autocommit=True)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND state = 'active'"

    def cancel():
        wait_until("the query runs", lambda: value(watcher, sleeping) == 1)
        connection.cancel_safe(timeout=60)

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        connection.execute("SELECT pg_sleep(600)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        pass
    thread.join()
    watcher.close()
    equal(value(connection, "SELECT 'goes on'"), "goes on")
