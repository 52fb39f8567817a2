"""Many sessions at once in one program, each doing a bit of everything."""

import asyncio
import os

import psycopg
from common import equal

SESSIONS = 20


async def session(number: int) -> None:
    connection = await psycopg.AsyncConnection.connect(dbname=os.environ["WAYPOOL_TEST_DATABASE"])
    async with connection:
        await connection.execute(f"SET application_name = 'session {number}'")
        await connection.execute("INSERT INTO t VALUES (%s, 0)", [number])
        await connection.commit()
        for _ in range(10):
            async with connection.transaction():
                await connection.execute("UPDATE t SET n = n + 1 WHERE id = %s", [number])
                cursor = await connection.execute("SELECT n FROM t WHERE id = %s", [number])
                await cursor.fetchone()
            cursor = await connection.execute("SELECT current_setting('application_name')")
            equal(await cursor.fetchone(), (f"session {number}",))
            await connection.commit()


async def main() -> None:
    connect = psycopg.AsyncConnection.connect
    async with await connect(dbname=os.environ["WAYPOOL_TEST_DATABASE"], autocommit=True) as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        await asyncio.gather(*(session(number) for number in range(SESSIONS)))
        cursor = await connection.execute("SELECT count(*), min(n), max(n) FROM t")
        equal(await cursor.fetchone(), (SESSIONS, 10, 10))


asyncio.run(main())
