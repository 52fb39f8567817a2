"""A plugin has sent the session to another database, as another user, with
parameters: on the server that reads and on the one that writes."""

import os

from common import connect, equal, value

WHERE = "SELECT concat_ws(' ', current_database(), current_user, current_setting('statement_timeout'))"
expected = os.environ["WAYPOOL_TEST_EXPECTED"]

with connect(autocommit=True) as connection:
    for _ in range(7):  # psycopg prepares what it sees so often
        equal(value(connection, WHERE), expected)
        equal(value(connection, WHERE + " FROM random()"), expected)
    with connection.transaction():
        equal(value(connection, WHERE), expected)
    equal(connection.info.parameter_status("server_encoding"), "UTF8")
