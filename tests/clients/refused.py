"""A plugin refuses the login: the message is the plugin's."""

import os

import psycopg
from common import connect, equal

try:
    connect()
    raise AssertionError("let in")
except psycopg.OperationalError as error:
    equal(os.environ["WAYPOOL_TEST_REFUSAL"] in str(error), True)
    equal("FATAL" in str(error), True)
    # psycopg has no SQLSTATE of a failed login; what the protocol said is there.
    connection = error.pgconn
    equal(connection.status, psycopg.pq.ConnStatus.BAD)
