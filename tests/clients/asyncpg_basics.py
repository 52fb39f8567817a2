"""asyncpg: prints what it gets, to be compared."""

import asyncio
import os

import asyncpg


async def main() -> None:
    # All else stands in the environment.
    connection = await asyncpg.connect(database=os.environ["WAYPOOL_TEST_DATABASE"], ssl=False)
    await connection.execute("CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY, name text, tags text[], at timestamptz)")
    await connection.execute("TRUNCATE a")
    insert = "INSERT INTO a VALUES ($1, $2, $3, '2024-01-01'::timestamptz + $1::int * interval '1 day')"
    await connection.executemany(insert, [(n, f"name{n}", ["x", None, str(n)]) for n in range(100)])
    print(await connection.fetchval("SELECT count(*) FROM a"))
    print(await connection.fetch("SELECT * FROM a WHERE id = ANY($1) ORDER BY id", [1, 2, 3]))
    statement = await connection.prepare("SELECT name FROM a WHERE id = $1")
    print(statement.get_parameters(), [attribute.name for attribute in statement.get_attributes()])
    print([await statement.fetchval(n) for n in range(10)])
    async with connection.transaction():
        rows = [row["id"] async for row in connection.cursor("SELECT id FROM a ORDER BY id", prefetch=7)]
        print(sum(rows))
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM a")
            await connection.execute(insert, 1, "one", None)
            await connection.execute(insert, 1, "twice", None)
    except asyncpg.UniqueViolationError as error:
        print(error.sqlstate, error.message, error.detail, error.table_name, error.constraint_name)
    print(await connection.fetchval("SELECT count(*) FROM a"))
    async with connection.transaction():
        try:
            async with connection.transaction():
                await connection.fetch("SELECT 1 / 0")
        except asyncpg.DivisionByZeroError as error:
            print(error.sqlstate)
        print(await connection.fetchval("SELECT 'the outer one goes on'"))
    print(await connection.copy_records_to_table("a", records=[(n, None, None, None) for n in range(200, 300)]))
    try:
        await asyncio.wait_for(connection.execute("SELECT pg_sleep(600)"), 0.2)
    except TimeoutError:
        print("cancelled")
    print(await connection.fetchval("SELECT 'goes on'"))
    await connection.close()


asyncio.run(main())
